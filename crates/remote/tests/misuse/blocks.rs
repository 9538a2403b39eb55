#[remote::expose]
struct Meter;

#[remote::expose]
impl Meter {
    fn private(&self) {}
}

#[remote::expose]
impl Drop for Meter {
    fn drop(&mut self) {}
}

struct Supply;

#[remote::expose(nmae = "x")]
impl Supply {
    pub fn on(&self) {}
}

fn main() {}
