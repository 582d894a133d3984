// A plugin for QEMU 9.2 or newer: writes down every 32-bit store to the GPIO or the PWM block of a BCM2837, by
// the guest's kernel or by a program in it, with the guest's own time.
//
//   -plugin ./register-log.so,out=FILE
//
// A line each:  TICKS BLOCK REGISTER VALUE      such as  3034567 GPIO GPSET0 0x00020000
//
// TICKS is what was last read from the time counter, which CLOCK_MONOTONIC is made of (62.5 MHz): the guest's
// clock just before the store. The plugin sees it because it watches the instructions that read it. QEMU has no
// clock for plugins, and the host's says nothing: emulation is slower than the guest believes.
//
// It is for runs with -icount: all processors then take turns on one thread of the host. Which of them is at
// work it does not say, because QEMU does not: where they take turns, callbacks are told the processor that a
// block was translated for (seen with QEMU 10.0).
//
// QEMU's raspi3b has no PWM device: its registers are plain memory and read back as written.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The parts of qemu-plugin.h (API version 4) and of glib that are used here: no header has to be installed.
#define EXPORT __attribute__((visibility("default")))
typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
struct qemu_plugin_register;
typedef struct {
    int type;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct {
            uint64_t low, high;
        } u128;
    } data;
} qemu_plugin_mem_value;
typedef struct {
    struct qemu_plugin_register *handle;
    const char *name;
    const char *feature;
} qemu_plugin_reg_descriptor;
typedef struct {
    uint8_t *data;
    unsigned len;
} GByteArray;
typedef struct {
    char *data;
    unsigned len;
} GArray;
EXPORT int qemu_plugin_version = 4;
GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_set_size(GByteArray *, unsigned);
GArray *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(struct qemu_plugin_register *, GByteArray *);
typedef void (*vcpu_callback)(unsigned cpu, void *data);
void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, unsigned));
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, vcpu_callback, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, vcpu_callback, int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
                                      void (*)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *),
                                      int flags, int accesses, void *data);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t, uint64_t);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t);

enum { NO_REGISTERS = 0, READS_REGISTERS = 1, STORES = 2 };
enum { GPIO = 0x3f200000, GPIO_SIZE = 0xb4, PWM = 0x3f20c000, PWM_SIZE = 0x28 };
enum { GENERAL_REGISTERS = 31 };

static const char *const gpio_names[] = {
    "GPFSEL0", "GPFSEL1", "GPFSEL2", "GPFSEL3", "GPFSEL4", "GPFSEL5", "-",       "GPSET0",    "GPSET1",
    "-",       "GPCLR0",  "GPCLR1",  "-",       "GPLEV0",  "GPLEV1",  "-",       "GPEDS0",    "GPEDS1",
    "-",       "GPREN0",  "GPREN1",  "-",       "GPFEN0",  "GPFEN1",  "-",       "GPHEN0",    "GPHEN1",
    "-",       "GPLEN0",  "GPLEN1",  "-",       "GPAREN0", "GPAREN1", "-",       "GPAFEN0",   "GPAFEN1",
    "-",       "GPPUD",   "GPPUDCLK0", "GPPUDCLK1", "-",   "-",       "-",       "-",         "-"};
static const char *const pwm_names[] = {"CTL", "STA", "DMAC", "-", "RNG1", "DAT1", "FIF1", "-", "RNG2", "DAT2"};

static FILE *out;
static struct qemu_plugin_register *general[GENERAL_REGISTERS];
static GByteArray *scratch;
// An instruction that reads the time counter: the register that the reading is in from `next` on.
struct reader {
    uint64_t next;
    unsigned into;
};

static uint64_t ticks; // the last reading
static const struct reader *awaited;

static void on_store(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused)
{
    (void)cpu, (void)unused;
    if ((vaddr & 0xfff) > 0x100) return; // both blocks lie in the first 256 bytes of a page
    struct qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);
    if (!hw) return;
    uint64_t at = qemu_plugin_hwaddr_phys_addr(hw);
    const char *block, *name;
    if (at >= GPIO && at < GPIO + GPIO_SIZE) {
        block = "GPIO";
        name = gpio_names[(at - GPIO) / 4];
    } else if (at >= PWM && at < PWM + PWM_SIZE) {
        block = "PWM";
        name = pwm_names[(at - PWM) / 4];
    } else {
        return;
    }
    fprintf(out, "%" PRIu64 " %s %s 0x%08x\n", ticks, block, name, qemu_plugin_mem_get_value(info).data.u32);
    fflush(out);
}

static void before_reading(unsigned cpu, void *reader)
{
    (void)cpu;
    awaited = reader;
}

// At the begin of a block: if it is what follows a reading, takes that out of the register. Another processor's
// turn may come in between; then this waits. A reading is always the end of a block.
static void on_block(unsigned cpu, void *begin)
{
    (void)cpu;
    if (!awaited || awaited->next != (uintptr_t)begin) return;
    struct qemu_plugin_register *from = general[awaited->into];
    awaited = NULL;
    uint64_t reading;
    g_byte_array_set_size(scratch, 0);
    if (!from || qemu_plugin_read_register(from, scratch) != sizeof reading) return;
    memcpy(&reading, scratch->data, sizeof reading);
    // One that was taken some turns ago may be older than another's.
    if (reading > ticks) ticks = reading;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, READS_REGISTERS, (void *)(uintptr_t)qemu_plugin_tb_vaddr(tb));
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word = 0;
        qemu_plugin_insn_data(insn, &word, sizeof word);
        // MRS Xt, CNTVCT_EL0 (programs) or CNTPCT_EL0 (the kernel, which leaves no offset between them).
        uint32_t reads = word & 0xffffffe0, into = word & 31;
        if ((reads == 0xd53be040 || reads == 0xd53be020) && into < GENERAL_REGISTERS) {
            struct reader *reader = malloc(sizeof *reader); // for as long as QEMU runs
            if (!reader) abort();
            *reader = (struct reader){qemu_plugin_insn_vaddr(insn) + 4, into};
            qemu_plugin_register_vcpu_insn_exec_cb(insn, before_reading, NO_REGISTERS, reader);
        }
        // STR Wt, with an immediate or a register as offset: what writel() and volatile writes compile to.
        if ((word & 0xffc00000) == 0xb9000000 || (word & 0xffe00c00) == 0xb8200800)
            qemu_plugin_register_vcpu_mem_cb(insn, on_store, NO_REGISTERS, STORES, NULL);
    }
}

// Finds the registers x0 to x30: known once a processor is there.
static void on_cpu(qemu_plugin_id_t id, unsigned cpu)
{
    (void)id;
    if (cpu != 0) return;
    GArray *all = qemu_plugin_get_registers();
    const qemu_plugin_reg_descriptor *list = (const qemu_plugin_reg_descriptor *)(void *)all->data;
    for (unsigned i = 0; i < all->len; i++) {
        unsigned number;
        char rest;
        if (sscanf(list[i].name, "x%u%c", &number, &rest) == 1 && number < GENERAL_REGISTERS)
            general[number] = list[i].handle;
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fprintf(stderr, "register-log: write out=FILE\n");
        return 1;
    }
    out = fopen(argv[0] + 4, "w");
    if (!out) {
        perror(argv[0] + 4);
        return 1;
    }
    scratch = g_byte_array_new();
    qemu_plugin_register_vcpu_init_cb(id, on_cpu);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
