//~ E0423 E0451 E0063
// A place among the running calls is given, not taken.
use doorward::admission::Admission;

pub fn forge() -> Admission {
    Admission {}
}
