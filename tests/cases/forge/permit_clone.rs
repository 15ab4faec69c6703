//~ E0277
// A permit is for one call and cannot be kept.
use doorward::policy::Permit;

pub fn keep(permit: &Permit) -> Permit {
    Permit::clone(permit)
}
