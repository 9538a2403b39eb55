#[derive(Debug, remote::IntoException)]
enum MeterError {
    #[exception("ValueErr")]
    Misspelt,
    #[exception(ValueError)]
    NoQuotes,
}

#[derive(Debug, remote::IntoException)]
enum OtherError {
    #[exception(transparent)]
    Nothing,
}

fn main() {}
