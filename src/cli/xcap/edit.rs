//! `presentia xcap edit`: get, change, and put only if nobody else has put in between.

use super::{read, shown, typed};
use crate::cli::terminal::{line, note};
use crate::cli::xdmc::access::{Access, Wish, Xdms};
use crate::cli::xdmc::address::owner;
use crate::cli::{Exit, Failure};
use bytes::Bytes;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Tries of a change that can be made again without anybody looking at it.
const TRIES: usize = 5;

/// Change a document: get it, edit it, put it unless somebody else has changed it meanwhile
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_name = "PATH")]
    path: String,
    /// A command of the shell that reads the document and writes the new one; it is run again on the newer document
    /// when somebody else was faster. Default: the editor of $VISUAL or $EDITOR
    #[arg(long, value_name = "COMMAND")]
    with: Option<String>,
    /// Content-Type. Default: that of the application usage
    #[arg(long = "type", value_name = "TYPE")]
    content_type: Option<String>,
}

pub async fn run(access: &Access, args: &Args) -> Result<(), Failure> {
    let xdms = access.open(owner(&args.path).as_ref())?;
    let tries = if args.with.is_some() { TRIES } else { 1 };
    for left in (0..tries).rev() {
        let present = xdms.read(&args.path).await?;
        let (etag, before) = match present {
            Some(reply) => (reply.etag, reply.body),
            None => (None, Bytes::new()),
        };
        let edited = args.edited(&before)?;
        if edited.document == before {
            edited.discard();
            note("nothing changed");
            return Ok(());
        }
        let put = args.put(access, &xdms, etag.as_deref(), &edited).await;
        match put {
            Err(failure) if failure.exit == Exit::Condition && left > 0 => {
                note("somebody else has changed the document meanwhile; once more");
            }
            Err(failure) => return Err(edited.kept(failure)),
            Ok(()) => {
                edited.discard();
                return Ok(());
            }
        }
    }
    Ok(()) // not reached: the last try returns
}

/// A new version, and the file where an editor has left it.
struct Edited {
    document: Bytes,
    file: Option<PathBuf>,
}

impl Edited {
    fn discard(&self) {
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file); // a file too many in a temporary folder does no harm
        }
    }

    /// Nobody's typing gets lost.
    fn kept(&self, mut failure: Failure) -> Failure {
        if let Some(file) = &self.file {
            failure.message += &format!("\nWhat you have written is kept in {}", file.display());
        }
        failure
    }
}

impl Args {
    async fn put(
        &self,
        access: &Access,
        xdms: &Xdms<'_>,
        known: Option<&str>,
        edited: &Edited,
    ) -> Result<(), Failure> {
        let kind = typed(&self.path, self.content_type.as_deref())?;
        let wish = Wish::put(&self.path, &kind, edited.document.clone(), known);
        let reply = xdms.ask(wish).await?;
        if reply.status != 412 {
            shown(access, &self.path, &reply);
        }
        reply.accepted(&self.path).map(drop)
    }

    fn edited(&self, before: &Bytes) -> Result<Edited, Failure> {
        match &self.with {
            Some(command) => filtered(command, before),
            None => by_hand(before),
        }
    }
}

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, line(&format!("not changed: {what}")))
}

fn filtered(command: &str, before: &Bytes) -> Result<Edited, Failure> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let input = child.stdin.take();
    let before = before.clone();
    // a filter may write before it has read everything
    let feeder = std::thread::spawn(move || {
        if let Some(mut input) = input {
            let _ = input.write_all(&before); // a filter may leave the rest unread
        }
    });
    let output = child.wait_with_output().map_err(failed)?;
    let _ = feeder.join();
    if !output.status.success() {
        return Err(failed(format!("the command ended with {}", output.status)));
    }
    Ok(Edited {
        document: output.stdout.into(),
        file: None,
    })
}

fn by_hand(before: &Bytes) -> Result<Edited, Failure> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|editor| !editor.trim().is_empty());
    let editor =
        editor.ok_or_else(|| failed("name an editor in $EDITOR, or a filter in --with"))?;
    let file = std::env::temp_dir().join(format!("presentia-{}.xml", std::process::id()));
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600) // other users of this machine need not know who may watch
        .open(&file);
    created
        .and_then(|mut open| open.write_all(before))
        .map_err(|error| failed(format!("{}: {error}", file.display())))?;
    // as git and crontab do: the variable may hold options
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(&file)
        .status()
        .map_err(failed)?;
    let edited = Edited {
        document: read(&file)?,
        file: Some(file),
    };
    match status.success() {
        true => Ok(edited),
        false => Err(edited.kept(failed(format!("the editor ended with {status}")))),
    }
}
