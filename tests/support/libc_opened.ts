/** The C library is opened once for the process's life; here, so that no test is blamed for it. */
import { LIBC, libc } from "../../ffi/libc.ts";

for (const name of Object.keys(LIBC) as (keyof typeof LIBC)[]) libc(name);
