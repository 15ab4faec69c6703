#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    doorward_fuzz::run("certificate", bytes);
});
