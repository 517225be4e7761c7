/* SPDX-License-Identifier: ISC */
/*
 * Feeds each file named on the command line to a fuzz target, for compilers
 * without libFuzzer: the corpus as a regression test. Exit 1 when a file
 * cannot be read; a broken invariant aborts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct buf content = BUF_INIT;
		char *exact; /* nothing behind it, so ASan sees an over-read */

		if (file_read(argv[i], 1 << 26, &content) != OK ||
		    (exact = malloc(content.len + 1)) == NULL) {
			perror(argv[i]);
			return 1;
		}
		memcpy(exact + 1, buf_span(&content).p, content.len);
		LLVMFuzzerTestOneInput((const uint8_t *)exact + 1, content.len);
		free(exact);
		buf_done(&content);
	}
	return 0;
}
