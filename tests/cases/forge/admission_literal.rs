//~ private fields
// A place among the running calls is given, not taken.
use doorward::admission::Admission;

pub fn forge() -> Admission {
    Admission {}
}
