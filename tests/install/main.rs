//! `ocfbox install` and `ocfbox uninstall`: whole trees, compared before and after.

mod killed;
mod packages;
mod place;
mod refuse;
mod replace;
mod support;
mod system;
