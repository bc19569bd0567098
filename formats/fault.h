/* fault.h - where bytes stop being JSON.
 *
 * The fast parser only says that a record is bad.  This slow one runs after such a refusal, to name
 * the place and the reason. */
#ifndef SP_FORMATS_FAULT_H
#define SP_FORMATS_FAULT_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_JSON_DEPTH 1000 /* objects and arrays inside one another, in any document we read */

/* The reason why `text` is not one JSON value, with *offset of the first byte at fault; NULL when
 * it is one.  Static string. */
const char *sp_json_fault(struct sp_text text, size_t *offset);

#ifdef __cplusplus
}
#endif
#endif
