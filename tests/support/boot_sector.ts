/**
 * The smallest real guest: 512 bytes that the firmware boots, so that a test sees a real machine
 * speak within a second of its start, without an image.
 *
 * It says its line on the first serial port about twice a second, and echoes what it is sent, but:
 * `q` powers off (ACPI, q35), `r` resets through the keyboard controller, `p` panics (ISA pvpanic).
 */
export const TINY_GUEST_LINE = "rum tiny guest\r\n";

// deno-fmt-ignore
const CODE = [
  0xfa,                               //  0       cli
  0x31, 0xc0,                         //  1       xor ax, ax
  0x8e, 0xd8,                         //  3       mov ds, ax
  0x8e, 0xd0,                         //  5       mov ss, ax
  0xbc, 0x00, 0x7c,                   //  7       mov sp, 0x7c00
  0xfc,                               // 10       cld
  0xbe, 0x69, 0x7c,                   // 11 say:  mov si, line (0x7c00 + 105)
  0xac,                               // 14 next: lodsb
  0x84, 0xc0,                         // 15       test al, al
  0x74, 0x05,                         // 17       jz 24
  0xe8, 0x42, 0x00,                   // 19       call putc
  0xeb, 0xf6,                         // 22       jmp next
  0x66, 0xb9, 0x00, 0x00, 0x04, 0x00, // 24 idle: mov ecx, 0x40000
  0xba, 0xfd, 0x03,                   // 30 poll: mov dx, 0x3fd
  0xec,                               // 33       in al, dx
  0xa8, 0x01,                         // 34       test al, 1
  0x75, 0x06,                         // 36       jnz 44
  0x66, 0x49,                         // 38       dec ecx
  0x75, 0xf4,                         // 40       jnz poll
  0xeb, 0xdf,                         // 42       jmp say
  0xba, 0xf8, 0x03,                   // 44       mov dx, 0x3f8
  0xec,                               // 47       in al, dx
  0x3c, 0x71, 0x74, 0x0d,             // 48       cmp al, 'q'; jz off
  0x3c, 0x72, 0x74, 0x12,             // 52       cmp al, 'r'; jz reset
  0x3c, 0x70, 0x74, 0x14,             // 56       cmp al, 'p'; jz panic
  0xe8, 0x19, 0x00,                   // 60       call putc
  0xeb, 0xd7,                         // 63       jmp idle
  0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, // 65 off:  mov dx, 0x604; mov ax, 0x2000
  0xef, 0xeb, 0xfe,                   // 71       out dx, ax; jmp $
  0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe, // 74 reset: mov al, 0xfe; out 0x64, al; jmp $
  0xba, 0x05, 0x05, 0xb0, 0x01,       // 80 panic: mov dx, 0x505; mov al, 1
  0xee, 0xeb, 0xfe,                   // 85       out dx, al; jmp $
  0x88, 0xc4,                         // 88 putc: mov ah, al
  0xba, 0xfd, 0x03, 0xec,             // 90       mov dx, 0x3fd; in al, dx
  0xa8, 0x20, 0x74, 0xfb,             // 94       test al, 0x20; jz 93
  0xba, 0xf8, 0x03,                   // 98       mov dx, 0x3f8
  0x88, 0xe0, 0xee, 0xc3,             // 101      mov al, ah; out dx, al; ret
];

/** A raw disk of 1 MiB that boots it. */
export function tinyGuestDisk(): Uint8Array {
  const disk = new Uint8Array(1 << 20);
  disk.set(CODE);
  disk.set(new TextEncoder().encode(TINY_GUEST_LINE + "\0"), CODE.length);
  disk.set([0x55, 0xaa], 510);
  return disk;
}
