//~ E0451
// Arguments that no schema has seen do not exist.
use doorward::call::Arguments;

pub fn forge() -> Arguments {
    Arguments { values: Default::default() }
}
