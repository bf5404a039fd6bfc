/* For a test: what the C client finds in each line of the standard input. The functions under test are static. */
#include "edge_ad_link.c"

int main(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = '\0';
        const char *start = space(line);
        printf("%d %d %d %lld %.17g\n", is(member(start, "type"), "\"result\""), is(member(start, "id"), "\"1\""),
               is(member(start, "state"), "\"ACCEPT\""), whole(member(start, "trigger")), first_score(start));
    }
    free(line);
    return 0;
}
