struct Meter;

#[remote::expose]
impl Meter {
    #[blocking]
    pub async fn both(&self) {}
    #[stream]
    pub fn nothing(&self) {}
    #[oneway]
    #[stream]
    pub fn silent(&self) -> std::ops::Range<u8> {
        0..1
    }
}

fn main() {}
