/* Between main() and the contract: the exports of a plugin, and the functions of blitz.h. */

#include "blitz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What compilers for WASM call a main() with two arguments. */
extern int __main_argc_argv(int argc, char **argv);

/* `blitz plugin build` itself tells the linker of components what the imports are. */
void __component_type_object_force_link_plugin(void) {}

static char *region = "";
static char *last_error = NULL;

static char *terminated(const plugin_string_t *text) {
  char *copy = malloc(text->len + 1);
  if (!copy) abort();
  if (text->len > 0) memcpy(copy, text->ptr, text->len);
  copy[text->len] = '\0';
  return copy;
}

/* The manifest is packed into the file from plugin.toml, and is read there. */
void exports_blitz_plugin_tool_describe(plugin_string_t *described) {
  described->ptr = NULL;
  described->len = 0;
}

uint8_t exports_blitz_plugin_tool_run(exports_blitz_plugin_tool_invocation_t *call) {
  region = terminated(&call->region);
  size_t count = call->args.len;
  char **argv = calloc(count + 2, sizeof *argv);
  if (!argv) abort();
  argv[0] = "plugin";
  for (size_t i = 0; i < count; i++) argv[i + 1] = terminated(&call->args.ptr[i]);
  int status = __main_argc_argv((int)count + 1, argv);
  /* What stays in the buffer of standard output would be lost. */
  if (fflush(NULL) != 0 && status == 0) status = 1;
  return (uint8_t)status;
}

static bool failed(blitz_plugin_types_error_t *error) {
  /* All three cases hold a text. */
  free(last_error);
  last_error = terminated(&error->val.failed);
  blitz_plugin_types_error_free(error);
  return false;
}

static plugin_string_t borrowed(const char *text) {
  return (plugin_string_t){(uint8_t *)text, strlen(text)};
}

const char *blitz_region(void) { return region; }

uint64_t blitz_time_left_ms(void) { return blitz_plugin_control_time_left_ms(); }

const char *blitz_error(void) { return last_error ? last_error : ""; }

bool blitz_emit(const char *kind, const char *json) {
  plugin_string_t kind_text = borrowed(kind), json_text = borrowed(json);
  blitz_plugin_types_error_t error;
  return blitz_plugin_events_emit(&kind_text, &json_text, &error) || failed(&error);
}

long blitz_read_input(const char *name, uint64_t offset, void *bytes, size_t bytes_max) {
  plugin_string_t name_text = borrowed(name);
  plugin_list_u8_t piece;
  blitz_plugin_types_error_t error;
  uint32_t wanted = bytes_max > INT32_MAX ? INT32_MAX : (uint32_t)bytes_max;
  if (!blitz_plugin_files_read_input(&name_text, offset, wanted, &piece, &error)) {
    failed(&error);
    return -1;
  }
  size_t length = piece.len < bytes_max ? piece.len : bytes_max;
  if (length > 0) memcpy(bytes, piece.ptr, length);
  plugin_list_u8_free(&piece);
  return (long)length;
}

bool blitz_write_output(const char *name, const void *bytes, size_t length) {
  plugin_string_t name_text = borrowed(name);
  plugin_list_u8_t piece = {(uint8_t *)bytes, length};
  blitz_plugin_types_error_t error;
  return blitz_plugin_files_write_output(&name_text, &piece, &error) || failed(&error);
}

bool blitz_count(const char *name, uint64_t by) {
  plugin_string_t name_text = borrowed(name);
  blitz_plugin_types_error_t error;
  return blitz_plugin_metrics_count(&name_text, by, &error) || failed(&error);
}

bool blitz_observe(const char *name, uint64_t value) {
  plugin_string_t name_text = borrowed(name);
  plugin_list_u64_t values = {&value, 1};
  blitz_plugin_types_error_t error;
  return blitz_plugin_metrics_observe(&name_text, &values, &error) || failed(&error);
}
