//! Who proves a password, and where it comes from: never from the command line.

use super::{Exit, Failure};
use crate::ua::Credentials;
use ims::sip::Aor;
use std::path::PathBuf;

/// The variable that is looked at when no other is named.
const VARIABLE: &str = "PRESENTIA_PASSWORD";

/// Options of every client that can prove a password
#[derive(Debug, clap::Args)]
pub struct Login {
    /// User name for Digest, in IMS the private identity. Default: USER@DOMAIN of the identity
    #[arg(long, global = true, value_name = "IMPI")]
    user: Option<String>,
    /// Environment variable that holds the password. Default: PRESENTIA_PASSWORD, where it is set
    #[arg(
        long,
        global = true,
        value_name = "VAR",
        conflicts_with = "password_file"
    )]
    password_env: Option<String>,
    /// File whose first line is the password
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Login {
    /// What is proved when a server asks; `None` without a password.
    pub fn credentials(&self, identity: Option<&Aor>) -> Result<Option<Credentials>, Failure> {
        let password = self.password()?;
        Ok(password.map(|password| self.proving(identity, password)))
    }

    /// The user with a password from elsewhere.
    pub fn proving(&self, identity: Option<&Aor>, password: String) -> Credentials {
        let own = || {
            identity
                .map(Aor::as_str)
                .and_then(|identity| identity.split_once(':'))
                .map_or("", |(_, rest)| rest)
                .to_owned()
        };
        Credentials {
            user: self.user.clone().unwrap_or_else(own),
            password,
        }
    }

    fn password(&self) -> Result<Option<String>, Failure> {
        if let Some(file) = &self.password_file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let what = format!("no password can be read from {} ({error})", file.display());
                Failure::new(Exit::Config, what)
            })?;
            return Ok(Some(text.lines().next().unwrap_or("").to_owned()));
        }
        let Some(variable) = &self.password_env else {
            return Ok(std::env::var(VARIABLE).ok().filter(|p| !p.is_empty()));
        };
        let password = std::env::var(variable).map_err(|_| {
            let what = format!("the environment variable {variable} holds no password");
            Failure::new(Exit::Config, what)
        });
        password.map(Some)
    }
}
