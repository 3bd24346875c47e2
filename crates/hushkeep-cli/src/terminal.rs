//! How the terminal is set: whether it shows what is typed.

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// How the terminal was set at some moment.
#[cfg(unix)]
pub(crate) struct Settings(Option<Termios>);

#[cfg(unix)]
impl Settings {
    /// As it is set now.
    pub(crate) fn remember() -> Self {
        Self(tcgetattr(rustix::stdio::stdin()).ok())
    }

    /// Sets it like that again.
    pub(crate) fn restore(&self) {
        if let Some(settings) = &self.0 {
            set(settings);
        }
    }
}

#[cfg(unix)]
fn set(settings: &Termios) {
    // What cannot be set is no terminal.
    let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, settings);
}

#[cfg(not(unix))]
pub(crate) struct Settings;

#[cfg(not(unix))]
impl Settings {
    pub(crate) fn remember() -> Self {
        Self
    }

    pub(crate) fn restore(&self) {}
}

/// What is typed is not shown, until this is dropped.
pub(crate) struct Hidden(Settings);

impl Hidden {
    /// Hides what is typed from now on.
    pub(crate) fn hide() -> Self {
        let before = Settings::remember();
        #[cfg(unix)]
        if let Some(mut settings) = before.0.clone() {
            settings.local_modes.remove(LocalModes::ECHO);
            set(&settings);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        self.0.restore();
    }
}
