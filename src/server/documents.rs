//! The document service from its configuration: schemas of the operator's own usages are read here.

use crate::config::{Config, GlobalTree, XcapUsage, file};
use ims::sip::{Aor, Uri};
use ims::xdm::authorize::Privileged;
use ims::xdm::usage::declared::Declaration;
use ims::xdm::usage::{Failed, Readers};
use ims::xdm::{self, Xdm, diff};

/// Longest schema file, in bytes.
const SCHEMA: u64 = 1 << 20;

/// Why documents cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the schema {file} of the application usage {auid} cannot be read ({why})")]
    Schema {
        auid: String,
        file: String,
        why: String,
    },
    #[error(transparent)]
    Usage(#[from] Failed),
}

impl Error {
    /// Whether the operator can mend it in the configuration.
    pub fn is_configured(&self) -> bool {
        !matches!(self, Error::Usage(Failed::BuiltIn(_)))
    }
}

/// The document service, with its schemas loaded.
pub fn xdm(config: &Config) -> Result<Xdm, Error> {
    let xcap = &config.xcap;
    let set = |identities: &[String]| identities.iter().filter_map(|t| Aor::parse(t)).collect();
    let declared: Result<_, Error> = xcap
        .usages
        .iter()
        .map(|usage| declaration(usage, xcap.max_document))
        .collect();
    Ok(Xdm::new(xdm::Settings {
        max_document: xcap.max_document,
        max_lists: xcap.max_lists,
        roots: roots(config),
        foreign_lists: xcap.foreign_lists,
        max_documents_per_user: xcap.max_documents_per_user,
        unidentified: xcap.unknown_identity,
        privileged: Privileged {
            servers: set(&xcap.servers),
            administrators: set(&xcap.administrators),
            global_readers: set(&xcap.global_readers),
        },
        declared: declared?,
        diff: config.xcap_diff.settings(own_root(config)),
        ..xdm::Settings::default()
    })?)
}

/// The root that subscribers are told: the first that clients write, else the one that this server has for HTTP.
fn own_root(config: &Config) -> diff::Root {
    let uri = config.as_uri();
    let host = Uri::parse(&uri).and_then(|uri| uri.host().map(str::to_owned));
    let host = host.unwrap_or_else(|| "localhost".into());
    let own = format!("http://{host}{}", config.http.xcap_root);
    diff::Root::new(&config.xcap.roots, &own)
}

/// XCAP roots below which a list may be named: those of this server and of the others. None: any.
fn roots(config: &Config) -> Vec<String> {
    let own = &config.xcap.roots;
    let others = config.remote_xdms.roots().filter(|_| !own.is_empty());
    own.iter().cloned().chain(others).collect()
}

fn declaration(usage: &XcapUsage, max_document: usize) -> Result<Declaration, Error> {
    let schemas: Result<_, Error> = usage
        .schemas
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap_or(path.as_os_str());
            let text = file::text(path, SCHEMA).map_err(|why| Error::Schema {
                auid: usage.auid.clone(),
                file: path.display().to_string(),
                why,
            })?;
            Ok((name.to_string_lossy().into_owned(), text))
        })
        .collect();
    Ok(Declaration {
        auid: usage.auid.clone(),
        media_type: usage.media_type.clone(),
        namespace: usage.namespace.clone(),
        schemas: schemas?,
        name: usage.name.clone(),
        bytes: usage.max_document.unwrap_or(max_document),
        global: match usage.global {
            GlobalTree::None => None,
            GlobalTree::Everybody => Some(Readers::Everybody),
            GlobalTree::Servers => Some(Readers::Trusted),
        },
    })
}
