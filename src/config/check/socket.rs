//! `socket`: where it is to be made, and whom it lets in.

use super::Check;
use crate::config::place::KeyPath;
use crate::transport::socket;

impl Check<'_> {
    pub(super) fn socket(&mut self) {
        let section = &self.config.socket;
        if section.mode.is_open() && !section.allow_others {
            self.find(
                "socket.mode",
                format!("{} lets in every user of this machine", section.mode.0),
                "use 0660 with a group, or say socket.allow_others: true",
            );
        }
        if !self.unix() {
            return;
        }
        if let Err(open) = socket::check_place(&section.path) {
            self.find("socket.path", open.problem, &open.advice);
        }
        for (key, wrong) in
            [("socket.owner", socket::owner(section).err()), ("socket.group", socket::group(section).err())]
        {
            if let Some(problem) = wrong {
                self.find(key, problem, "");
            }
        }
        if section.require_token == Some(true) && !self.config.verifies_tokens() {
            self.find(
                "socket.require_token",
                "nothing says how tokens are verified",
                "give auth.jwt an issuer, an audience and a source of keys",
            );
        }
        for (index, scope) in section.scopes.iter().flatten().enumerate() {
            if !self.config.scopes.0.contains_key(scope) {
                let path = KeyPath::from("socket.scopes").item(index);
                self.find_at(&path, "there is no such scope", "name one of scopes");
            }
        }
        if section.scopes.is_some() && !self.config.trusts_users() {
            self.note_at(
                &KeyPath::from("socket.scopes"),
                "has no effect: every caller needs a token, which has its own",
            );
        }
    }
}
