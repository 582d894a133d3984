/// A family of boards that are alike in what matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Model {
    /// Raspberry Pi 4 Model B, 400, CM4.
    Pi4,
    /// Raspberry Pi 5, 500, CM5.
    Pi5,
}
