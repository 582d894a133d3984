// SPDX-License-Identifier: GPL-2.0
// /dev/gpiomem, which Raspberry Pi's kernels have and Debian's has not: the page of the BCM2837's GPIO registers,
// to be mapped by whoever may open the file.
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

#define GPIO_REGISTERS 0x3f200000UL

static int gpiomem_mmap(struct file *file, struct vm_area_struct *area)
{
	if (area->vm_pgoff || area->vm_end - area->vm_start > PAGE_SIZE)
		return -EINVAL;
	area->vm_page_prot = pgprot_noncached(area->vm_page_prot);
	return io_remap_pfn_range(area, area->vm_start, GPIO_REGISTERS >> PAGE_SHIFT,
				  area->vm_end - area->vm_start, area->vm_page_prot);
}

static const struct file_operations gpiomem_operations = {
	.owner = THIS_MODULE,
	.mmap = gpiomem_mmap,
};

static struct miscdevice gpiomem = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gpiomem",
	.fops = &gpiomem_operations,
};

module_misc_device(gpiomem);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Raspberry Pi's /dev/gpiomem, for tests on a virtual one");
