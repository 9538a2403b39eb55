struct Meter;

#[remote::expose]
impl Meter {
    pub fn by_value(self) {}
    pub fn changing(&mut self) {}
    pub fn fine(&self) {}
    #[oneway]
    pub fn nobody() {}
    #[getter]
    fn private(&self) -> u8 {
        0
    }
}

fn main() {}
