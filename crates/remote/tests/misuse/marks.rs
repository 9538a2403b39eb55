struct Meter;

#[remote::expose]
impl Meter {
    #[blocking]
    pub async fn both(&self) {}
    #[stream]
    pub fn nothing(&self) {}
    #[stream]
    pub fn borrowing(&self) -> impl Iterator<Item = u8> {
        0..1
    }
    #[oneway]
    #[stream]
    pub fn silent(&self) -> std::ops::Range<u8> {
        0..1
    }
}

fn main() {}
