/* main.c - finds the subcommand, reads its options, runs it; its status becomes the exit code. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"

/* An empty message was said already, by the command or by another rank of its job. */
static int finish(enum sp_status status, const struct sp_error *err) {
  if (status != SP_OK && *err->message) {
    sp_say("%s", err->message);
  }
  return sp_status_exit_code(status);
}

/* A usage error ends with the place to read on. */
static int finish_usage(const struct sp_command *command, const struct sp_error *err) {
  if (*err->message) {
    sp_say("%s", err->message);
    fprintf(stderr, "secondpass: see `secondpass help%s%s`\n", *command->name ? " " : "",
            command->name);
  }
  return sp_status_exit_code(SP_EUSAGE);
}

static int finish_data(enum sp_status status, const struct sp_error *err) {
  struct sp_error lost;
  enum sp_status closed = sp_stdout_close(&lost);
  if (status == SP_OK && closed != SP_OK) {
    return finish(closed, &lost);
  }
  return finish(status, err);
}

static int run_command(const struct sp_command *command, int argc, char **argv) {
  struct sp_error err = {0};
  struct sp_operands operands;
  bool help;
  void *values = calloc(1, command->values_bytes + 1);
  if (!values) {
    return finish(sp_fail_memory(&err, command->values_bytes), &err);
  }
  enum sp_status status = sp_options_parse(command, argc, argv, values, &operands, &help, &err);
  if (status == SP_EUSAGE && command->misused) {
    command->misused(&err);
  }
  if (status == SP_OK && help) {
    sp_help_print(command);
  } else if (status == SP_OK) {
    status = command->run(values, &operands, &err);
  }
  const struct sp_command *asked = command == &sp_command_help ? &sp_command_root : command;
  int code = status == SP_EUSAGE ? finish_usage(asked, &err) : finish_data(status, &err);
  sp_operands_release(&operands);
  free(values);
  return code;
}

/* `command` has children: the first argument names one. */
static int dispatch(const struct sp_command *command, int argc, char **argv) {
  struct sp_error err = {0};
  if (argc == 0) {
    sp_fail(&err, SP_EUSAGE, "usage: secondpass %s%s%s", command->name, *command->name ? " " : "",
            command->usage);
    return finish_usage(command, &err);
  }
  if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
    sp_help_print(command);
    return finish_data(SP_OK, &err);
  }
  if (command == &sp_command_root && strcmp(argv[0], "--version") == 0) {
    sp_version_print();
    return finish_data(SP_OK, &err);
  }
  if (argv[0][0] == '-') {
    sp_option_unknown(command, argv[0], &err);
    return finish_usage(command, &err);
  }
  const struct sp_command *child = sp_command_child(command, argv[0]);
  if (!child) {
    sp_command_unknown(command, argv[0], &err);
    return finish_usage(command, &err);
  }
  return child->children ? dispatch(child, argc - 1, argv + 1)
                         : run_command(child, argc - 1, argv + 1);
}

/* A descriptor that is closed at the start would be given to the next file that is opened, and a
 * message would end in it. It gets one that fails when it is used. */
static void hold_standard_descriptors(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0) {
      int held = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
      (void)held; /* the lowest free number: fd itself */
    }
  }
}

/* An ESPnet2 directory has two files a list, all open at once. */
static void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int main(int argc, char **argv) {
  /* Large blocks go back to the system when they are freed: by default glibc soon keeps them, and
   * the peak then creeps up with the length of a run. */
  mallopt(M_MMAP_THRESHOLD, 1 << 18);
  hold_standard_descriptors();
  raise_file_limit();
  /* a closed pipe and a size limit come back as errors of write, with a message and a code */
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  return dispatch(&sp_command_root, argc > 0 ? argc - 1 : 0, argv + 1);
}
