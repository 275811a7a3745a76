//! The bytes of a number, from the name of its type.

/// Bytes of the first type that is stated; "auto" states none.
pub(super) fn first_type(names: [Option<&str>; 2]) -> Result<Option<u64>, String> {
    let name = names.into_iter().flatten().find(|name| *name != "auto");
    name.map(bytes_of).transpose()
}

pub(super) fn bytes_of(dtype: &str) -> Result<u64, String> {
    let name = dtype.to_ascii_lowercase();
    match name.strip_prefix("torch.").unwrap_or(&name) {
        "float32" | "float" => Ok(4),
        "float16" | "bfloat16" | "half" => Ok(2),
        "fp8" | "fp8_e4m3" | "fp8_e5m2" | "int8" => Ok(1),
        name if name.starts_with("float8_") => Ok(1),
        _ => Err(format!("the type {dtype} of the model config is not known")),
    }
}
