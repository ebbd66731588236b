#include "collector/diagnose/question.h"

int question_open(struct question *q, const struct where_ask *ask, struct reader *r,
		  struct where_need *need, size_t heap)
{
	*q = (struct question){ 0 };
	q->q = (struct inquiry){
		.ask = ask, .fleet = &q->fleet, .arena = &q->arena, .need = need, .memo = &q->memo
	};
	arena_init(&q->arena, heap);
	return fleet_load(&q->fleet, r, &q->arena, ask->since, ask->until);
}

void question_clear(struct question *q)
{
	fleet_clear(&q->fleet);
	arena_free(&q->arena);
}
