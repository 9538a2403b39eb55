struct Meter;

#[remote::expose]
impl Meter {
    pub fn generic<T>(&self, _value: T) {}
    pub fn also_generic(&self, _value: impl Into<f64>) {}
    pub fn out(&self, _value: &mut f64) {}
    pub fn pattern(&self, (_a, _b): (u8, u8)) {}
    pub fn late(&self, #[default(1)] _a: u8, _b: u8) {}
    pub fn given(&self, #[default] _session: &remote::Session) {}
    pub unsafe fn unsound(&self) {}
    pub fn _private(&self) {}
}

fn main() {}
