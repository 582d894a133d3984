//! Facts about Raspberry Pi boards: models, header pins, which pin has which PWM channel, PWM chips
//! by their device, overlay lines, power-on pulls. No input or output happens here.

mod model;
pub use model::Model;
