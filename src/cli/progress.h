/* progress.h -- one line on standard error for whatever takes more than two seconds, drawn by a
 * thread, so that it moves while the library works.  Only on a terminal. */
#ifndef CA_CLI_PROGRESS_H
#define CA_CLI_PROGRESS_H

/* Starts the clock; nested calls count as one. */
void ca_progress_begin(const char *what);
/* What is being done now ("case 12 of 194"). */
void ca_progress_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Wipes the line, so that something else can be printed. */
void ca_progress_wipe(void);
void ca_progress_end(void);

#endif
