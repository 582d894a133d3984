// Preloaded into the program under test: plays the pins' registers and the GPIO character device.
//
// Registers. The program maps /dev/gpiomem. It gets that mapping without the right to write, so each
// store to a register faults. The handler decodes the store, does what the chip would do, writes down
// what became of the pins, and steps over the instruction. So nothing is missed, however short a pulse,
// and two stores keep their order. Loads go through untouched.
//
// GPIO character device. ioctl() on it is answered here. A watched line is a FIFO into which the other
// side (src/pins.rs) writes the kernel's events.
//
// The file behind /dev/gpiomem has one page more than the chip's registers: see enum control. Only
// x86-64 is understood. What cannot be understood ends the program: a test must not pass by accident.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the fake Pi decodes x86-64 instructions: build and run it on such a machine"
#endif

enum { PINS = 28, PAGE = 4096 };

// Words of the page behind the registers, shared with src/pins.rs.
enum control { OUTSIDE, LATCH, DRIVEN, WATCHED };

static uint8_t *program_map; // what the program sees; read-only
static size_t program_len;
static volatile uint32_t *regs; // the same memory, writable
static volatile uint32_t *control;
static bool rp1;
static int log_fd = -1;
static struct sigaction older;
static uint8_t functions[PINS]; // as last written down
static uint32_t driven_levels;  // the latches, as last written down

// ---- the log ----

// Text built without the C library's formatting, which a signal handler may not use.
struct text {
    char bytes[160];
    size_t len;
};

static void put(struct text *t, const char *s) {
    while (*s && t->len < sizeof t->bytes)
        t->bytes[t->len++] = *s++;
}

static void put_number(struct text *t, uint64_t n) {
    char digits[20];
    int i = 0;
    do
        digits[i++] = '0' + n % 10;
    while (n /= 10);
    while (i && t->len < sizeof t->bytes)
        t->bytes[t->len++] = digits[--i];
}

static struct text line(const char *kind, unsigned pin) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct text t = {.len = 0};
    put_number(&t, now.tv_sec * 1000000000ull + now.tv_nsec);
    put(&t, " ");
    put(&t, kind);
    put(&t, " ");
    put_number(&t, pin);
    put(&t, " ");
    return t;
}

static void emit(struct text *t) {
    put(t, "\n");
    if (log_fd >= 0 && write(log_fd, t->bytes, t->len) != (ssize_t)t->len)
        _exit(125);
}

static void die(const char *why) {
    struct text t = {.len = 0};
    put(&t, "fake-pi: ");
    put(&t, why);
    put(&t, "\n");
    if (write(2, t.bytes, t.len) < 0)
        _exit(126);
    _exit(125);
}

// ---- the chip ----

static const char *function_name(unsigned code) {
    static const char *const bcm[] = {"input", "output", "alt5", "alt4", "alt0", "alt1", "alt2", "alt3"};
    static const char *const alt[] = {"alt0", "alt1", "alt2", "alt3", "alt4", "input", "alt6", "alt7", "alt8"};
    if (!rp1)
        return bcm[code & 7];
    if (code == 0x85) // function 5 is the GPIO; 0x80: its output is on
        return "output";
    code &= 0x1f;
    return code < 9 ? alt[code] : "none";
}

static unsigned function(unsigned pin) {
    if (!rp1)
        return regs[pin / 10] >> (pin % 10 * 3) & 7;
    unsigned code = regs[(4 + pin * 8) / 4] & 0x1f;
    return code == 5 && regs[0x10004 / 4] >> pin & 1 ? 0x85 : code;
}

static volatile uint32_t *levels(void) { return &regs[(rp1 ? 0x10008 : 0x34) / 4]; }

// RP1's pads have an input buffer that is off after power-on: the pin then reads low.
static bool is_readable(unsigned pin) { return !rp1 || regs[(0x20004 + pin * 4) / 4] & 0x40; }

static void show(uint32_t bit, bool high) {
    if (high)
        __atomic_or_fetch(levels(), bit, __ATOMIC_SEQ_CST);
    else
        __atomic_and_fetch(levels(), ~bit, __ATOMIC_SEQ_CST);
}

static uint32_t latches(void) { return rp1 ? regs[0x10000 / 4] : control[LATCH]; }

// Brings the pins' levels in line with the registers, and writes down what changed.
static void settle(void) {
    uint32_t latch = latches();
    for (unsigned pin = 0; pin < PINS; pin++) {
        uint32_t bit = 1u << pin;
        unsigned now = function(pin);
        bool drives = !strcmp(function_name(now), "output");
        uint32_t before = control[DRIVEN] & bit ? driven_levels : control[OUTSIDE];
        uint32_t after = drives ? latch : control[OUTSIDE];
        if (now != functions[pin]) {
            functions[pin] = now;
            struct text t = line("mode", pin);
            put(&t, function_name(now));
            if (drives)
                put(&t, latch & bit ? " high" : " low");
            emit(&t);
            if (drives)
                __atomic_or_fetch(&control[DRIVEN], bit, __ATOMIC_SEQ_CST);
            else
                __atomic_and_fetch(&control[DRIVEN], ~bit, __ATOMIC_SEQ_CST);
        }
        if (drives && (before ^ after) & bit) {
            struct text t = line("gpio", pin);
            put(&t, after & bit ? "high" : "low");
            emit(&t);
        }
        show(bit, after & bit && is_readable(pin));
    }
    driven_levels = latch;
}

// BCM2835 ARM Peripherals, section 6.1: GPSET0 and GPCLR0 are written only, the others keep their value.
static void store_bcm(uint32_t offset, uint32_t value) {
    if (offset == 0x1c)
        control[LATCH] |= value;
    else if (offset == 0x28)
        control[LATCH] &= ~value;
    else
        regs[offset / 4] = value;
}

// RP1 Peripherals, section 2.4: each register has aliases that flip, set and clear bits.
static void store_rp1(uint32_t offset, uint32_t value) {
    volatile uint32_t *reg = &regs[(offset & ~0x3000u) / 4];
    switch (offset >> 12 & 3) {
    case 0: *reg = value; break;
    case 1: *reg ^= value; break;
    case 2: *reg |= value; break;
    case 3: *reg &= ~value; break;
    }
}

static void store(uint32_t offset, uint32_t value) {
    static volatile int busy;
    while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
        // The other thread may have a lower real-time priority: yielding would not let it run.
        struct timespec moment = {.tv_nsec = 1000};
        nanosleep(&moment, NULL);
    }
    (rp1 ? store_rp1 : store_bcm)(offset, value);
    settle();
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

// ---- stores, instruction by instruction ----

static uint32_t general_register(const ucontext_t *context, unsigned number) {
    static const int where[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return context->uc_mcontext.gregs[where[number & 15]];
}

// Decodes `mov %reg, mem` and `mov $imm, mem` of 32 bits: all that a volatile store of a word can be.
// Returns the instruction's length.
static size_t decode(const uint8_t *code, const ucontext_t *context, uint32_t *value) {
    const uint8_t *at = code;
    uint8_t rex = (*at & 0xf0) == 0x40 ? *at++ : 0;
    uint8_t opcode = *at++;
    if (rex & 8 || (opcode != 0x89 && opcode != 0xc7))
        die("a register was written with an instruction that the fake Pi does not know");
    uint8_t modrm = *at++;
    unsigned mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;
    unsigned base = rm;
    if (rm == 4)
        base = *at++ & 7;
    if (mod == 1)
        at += 1;
    else if (mod == 2 || (mod == 0 && base == 5))
        at += 4;
    if (opcode == 0x89) {
        *value = general_register(context, reg | (rex & 4) << 1);
    } else {
        memcpy(value, at, 4);
        at += 4;
    }
    return at - code;
}

static void on_fault(int signal_number, siginfo_t *info, void *raw) {
    ucontext_t *context = raw;
    uintptr_t address = (uintptr_t)info->si_addr, start = (uintptr_t)program_map;
    bool is_write = context->uc_mcontext.gregs[REG_ERR] & 2;
    if (!program_map || address < start || address >= start + program_len || !is_write) {
        if (older.sa_flags & SA_SIGINFO)
            older.sa_sigaction(signal_number, info, raw);
        else
            sigaction(SIGSEGV, &older, NULL); // the fault comes again, and ends the program
        return;
    }
    int keep_errno = errno;
    uint32_t value = 0;
    greg_t *ip = &context->uc_mcontext.gregs[REG_RIP];
    size_t length = decode((const uint8_t *)*ip, context, &value);
    store(address - start, value);
    *ip += length;
    errno = keep_errno;
}

// ---- what the program calls ----

static bool path_of(int fd, char *path, size_t size) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0;
}

static void *real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    return real(at, len, prot, flags, fd, offset);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    char path[64];
    if (fd < 0 || !(prot & PROT_WRITE) || !path_of(fd, path, sizeof path) ||
        strncmp(path, "/dev/gpiomem", 12))
        return real_mmap(at, len, prot, flags, fd, offset);
    if (program_map)
        die("the program maps the pins' registers twice");
    rp1 = !strcmp(path, "/dev/gpiomem0");
    size_t chip = rp1 ? 0x30000 : PAGE;
    void *all = real_mmap(NULL, chip + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (all == MAP_FAILED)
        die("the registers cannot be mapped");
    regs = all;
    control = regs + chip / 4;
    for (unsigned pin = 0; pin < PINS; pin++)
        functions[pin] = function(pin);
    driven_levels = latches(); // a program before this one may have left them
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, &older);
    program_len = (len + PAGE - 1) / PAGE * PAGE;
    return program_map = real_mmap(at, len, PROT_READ, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    return mmap(at, len, prot, flags, fd, offset);
}

// Whether a number stands in the list that an environment variable holds: "24,25".
static bool listed(const char *variable, unsigned number) {
    const char *list = getenv(variable);
    while (list && *list) {
        char *end;
        if (strtoul(list, &end, 10) == number && end != list)
            return true;
        list = *end ? end + 1 : end;
    }
    return false;
}

static int request_line(struct gpio_v2_line_request *request) {
    unsigned pin = request->offsets[0];
    if (request->num_lines != 1 || pin >= PINS)
        die("the program asks for lines in a way that the fake Pi does not know");
    if (listed("FAKE_PI_BUSY_LINES", pin)) {
        errno = EBUSY;
        return -1;
    }
    char fifo[40];
    snprintf(fifo, sizeof fifo, "/dev/.fake-pi/line-%u", pin);
    request->fd = open(fifo, O_RDWR | O_CLOEXEC);
    if (request->fd < 0)
        return -1;
    struct text t = line("line", pin);
    put(&t, request->config.flags & GPIO_V2_LINE_FLAG_EDGE_RISING ? "rising " : "");
    put(&t, request->config.flags & GPIO_V2_LINE_FLAG_EDGE_FALLING ? "falling " : "");
    put(&t, request->config.flags & GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME ? "realtime" : "monotonic");
    emit(&t);
    if (control)
        __atomic_or_fetch(&control[WATCHED], 1u << pin, __ATOMIC_SEQ_CST);
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    static int (*real)(int, unsigned long, void *);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    char path[64];
    if (_IOC_TYPE(request) == 0xb4 && path_of(fd, path, sizeof path) &&
        !strncmp(path, "/dev/gpiochip", 13)) {
        if (request == GPIO_GET_CHIPINFO_IOCTL) {
            struct gpiochip_info *chip = argument;
            const char *label = getenv("FAKE_PI_CHIP_LABEL");
            memset(chip, 0, sizeof *chip);
            snprintf(chip->name, sizeof chip->name, "gpiochip0");
            snprintf(chip->label, sizeof chip->label, "%s", label ? label : "");
            chip->lines = 54;
            return 0;
        }
        if (request == GPIO_V2_GET_LINE_IOCTL)
            return request_line(argument);
        die("the program makes a GPIO request that the fake Pi does not know");
    }
    if (!real)
        real = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}

__attribute__((constructor)) static void begin(void) {
    const char *fd = getenv("FAKE_PI_LOG_FD");
    if (fd)
        log_fd = atoi(fd);
}
