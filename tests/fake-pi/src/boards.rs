//! What each board shows of itself. Written down here once more, on purpose: the program under test
//! has its own table, and one must not be checked against itself.

pub struct Board {
    pub name: &'static str,
    /// `Revision` in /proc/cpuinfo; kernels other than Raspberry Pi's have none.
    pub revision: Option<&'static str>,
    pub model: &'static str,
    pub compatible: &'static str,
    pub chip_label: &'static str,
    pub gpiomem: &'static str,
    pub pwm_device: &'static str,
    pub pwm_channels: usize,
    /// Pin, channel, and the function code of its register that selects PWM.
    pub pwm_pins: &'static [(u8, usize, u32)],
    pub rp1: bool,
}

const BCM_PWM: &[(u8, usize, u32)] = &[(12, 0, 4), (13, 1, 4), (18, 0, 2), (19, 1, 2)];

pub const BOARDS: &[Board] = &[
    Board {
        name: "pi-3",
        revision: None, // Debian's kernel: the device tree alone says it
        model: "Raspberry Pi 3 Model B Rev 1.2",
        compatible: "raspberrypi,3-model-b\0brcm,bcm2837\0",
        chip_label: "pinctrl-bcm2835",
        gpiomem: "/dev/gpiomem",
        pwm_device: "../../../3f20c000.pwm",
        pwm_channels: 2,
        pwm_pins: BCM_PWM,
        rp1: false,
    },
    Board {
        name: "pi-4",
        revision: Some("c03111"),
        model: "Raspberry Pi 4 Model B Rev 1.1",
        compatible: "raspberrypi,4-model-b\0brcm,bcm2711\0",
        chip_label: "pinctrl-bcm2711",
        gpiomem: "/dev/gpiomem",
        pwm_device: "../../../fe20c000.pwm",
        pwm_channels: 2,
        pwm_pins: BCM_PWM,
        rp1: false,
    },
    Board {
        name: "pi-5",
        revision: Some("c04170"),
        model: "Raspberry Pi 5 Model B Rev 1.0",
        compatible: "raspberrypi,5-model-b\0brcm,bcm2712\0",
        chip_label: "pinctrl-rp1",
        gpiomem: "/dev/gpiomem0",
        pwm_device: "../../../1f00098000.pwm",
        pwm_channels: 4,
        pwm_pins: &[(12, 0, 0), (13, 1, 0), (14, 2, 0), (15, 3, 0), (18, 2, 3), (19, 3, 3)],
        rp1: true,
    },
    Board {
        name: "other",
        revision: None,
        model: "Pine64 Rock64",
        compatible: "pine64,rock64\0rockchip,rk3328\0",
        chip_label: "rockchip,gpio-bank",
        gpiomem: "/dev/gpiomem",
        pwm_device: "../../../ff1b0000.pwm",
        pwm_channels: 1,
        pwm_pins: &[],
        rp1: false,
    },
];

impl Board {
    pub fn named(name: &str) -> Option<&'static Board> {
        BOARDS.iter().find(|board| board.name == name)
    }

    pub fn pwm_pin(&self, gpio: u8) -> Option<&(u8, usize, u32)> {
        self.pwm_pins.iter().find(|pin| pin.0 == gpio)
    }

    /// The size of the register file in bytes.
    pub fn registers(&self) -> usize {
        if self.rp1 { 0x30000 } else { 0x1000 }
    }
}
