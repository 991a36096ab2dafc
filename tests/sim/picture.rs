//! The document that one dialog's NOTIFYs make: whole each time, or built from partial ones (RFC 5263 §4.5).

use crate::text::Message;
use ims::presence::partial::{self, Copy};
use ims::presence::pidf::Limits;

/// What a watcher asks for beside plain state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Partial documents (RFC 5263).
    pub partial: bool,
    /// No state that it has already (RFC 5839).
    pub conditional: bool,
}

impl Wish {
    pub fn accept(self) -> &'static str {
        if self.partial {
            "application/pidf+xml;q=0.3, application/pidf-diff+xml"
        } else {
            "application/pidf+xml"
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Picture(Copy);

impl Picture {
    /// Takes the body of the next NOTIFY: the whole document after it, `None` without a body.
    pub fn take(&mut self, notify: &Message) -> Result<Option<String>, String> {
        if notify.body.is_empty() {
            return Ok(None);
        }
        if notify.get("content-type") != partial::MEDIA_TYPE {
            return Ok(Some(notify.body.clone()));
        }
        self.0
            .take(notify.body.as_bytes(), &Limits::default())
            .map_err(|lost| format!("{lost}, after {:?}: {notify:?}", self.0))?;
        Ok(self.0.document.clone())
    }
}
