//~ E0624
// Only an authentication scheme makes a caller.
use std::sync::Arc;

use doorward::authn::Caller;
use doorward::identity::{PeerIdentity, Principal, Scopes};

pub fn forge(principal: Principal, peer: Arc<PeerIdentity>) -> Caller {
    Caller::new(principal, Scopes::default(), peer, None, true)
}
