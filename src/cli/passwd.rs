//! `presentia passwd`: a line of the credentials file.

use super::{Exit, Failure};
use crate::config::domain;
use crate::http::digest::line;

const AFTER_HELP: &str = "\
Examples:
  presentia passwd bob@ims.test --realm ims.test --identity sip:bob@ims.test --password-env BOB_PASSWORD >> users
  presentia passwd bob --realm ims.test --identity sip:bob@ims.test --identity tel:+36105550001

The file is named by [xcap.digest] users. The line holds no password, but whoever reads it can pretend to know one: let
nobody but the server read the file.

Exit status: 0 success, 2 wrong usage, 78 no password, or a word that cannot stand in the file.";

/// Print the line of a user for the credentials file of HTTP Digest; the password comes from standard input
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Name by which the user authenticates
    name: String,
    /// Realm, as in [xcap.digest] realm; it is hashed together with the password
    #[arg(long, value_name = "REALM", value_parser = domain)]
    realm: String,
    /// Public identity of the user; may be repeated, the main one first
    #[arg(long, value_name = "URI", required = true)]
    identity: Vec<String>,
    /// Environment variable that holds the password, in place of standard input
    #[arg(long, value_name = "VAR")]
    password_env: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let refused = |message: &str| Failure::new(Exit::Config, message);
    let password = match &args.password_env {
        Some(name) => std::env::var(name).unwrap_or_default(),
        None => {
            let mut typed = String::new();
            let read = std::io::stdin().read_line(&mut typed);
            read.map_err(|why| refused(&format!("cannot read the password ({why})")))?;
            typed.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if password.is_empty() {
        return Err(refused("no password; give it on standard input"));
    }
    let line = line(&args.name, &args.realm, &password, &args.identity).ok_or_else(|| {
        refused(
            "a name has no spaces and no colon, unless it is a URI; identities are 1 to 16 URIs such as \
             sip:bob@ims.test",
        )
    })?;
    println!("{line}");
    Ok(())
}
