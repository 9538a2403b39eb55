struct Meter;

#[remote::expose]
impl Meter {
    #[setter]
    pub fn set_range(&self, _volts: f64) {}
    #[getter]
    pub fn level(&self, _channel: u8) -> f64 {
        0.0
    }
    #[setter]
    pub fn set_level(&self) {}
    #[setter]
    pub fn change_level(&self, _level: f64) {}
    #[getter]
    #[oneway]
    pub fn silent(&self) -> f64 {
        0.0
    }
    #[getter]
    pub fn twice(&self) -> f64 {
        0.0
    }
    #[getter(twice)]
    pub fn again(&self) -> f64 {
        0.0
    }
}

fn main() {}
