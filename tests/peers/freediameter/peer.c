/* freeDiameter extension: a CDF and an OCS that answer every request with success, or as its IMS-Charging-Identifier
   tells (../README.md), and write down, one line each, what freeDiameter's own dictionary makes of it:

       T=0 <TAB> E2E=7 <TAB> Session-Id=... <TAB> ... <TAB> SIP-Method=PUBLISH ...

   An AVP that the dictionary does not know appears as ?code. Built by `run` beside this file. */
#include <freeDiameter/extension.h>
#include <inttypes.h>

static FILE *journal;

/* What a script says that the answer has. */
struct told {
	int silent;
	uint32_t result;
	int inside; /* the result stands in Multiple-Services-Credit-Control */
	int final;
	int64_t failure, debit_failure, failover, validity; /* -1: not said */
};

/* How often a session with a script was asked for. The lock of the journal is its lock too. */
struct turn {
	struct turn *next;
	unsigned count;
	char session[256];
};
static struct turn *turns;

/* Times and addresses are not text; whatever would break a line is shown as a dot. */
static void write_text(const uint8_t *octets, size_t length)
{
	for (size_t i = 0; i < length; i++)
		fputc(octets[i] < ' ' || octets[i] > '~' ? '.' : octets[i], journal);
}

static void write_avps(msg_or_avp *parent)
{
	struct avp *avp = NULL;

	if (fd_msg_browse(parent, MSG_BRW_FIRST_CHILD, &avp, NULL))
		return;
	for (; avp; fd_msg_browse(avp, MSG_BRW_NEXT, &avp, NULL)) {
		struct dict_object *model = NULL;
		struct dict_avp_data known;
		struct avp_hdr *head = NULL;

		if (fd_msg_model(avp, &model) || fd_msg_avp_hdr(avp, &head))
			continue;
		if (!model || fd_dict_getval(model, &known)) {
			fprintf(journal, "\t?%u", head->avp_code);
			continue;
		}
		if (known.avp_basetype == AVP_TYPE_GROUPED) {
			write_avps(avp);
			continue;
		}
		fprintf(journal, "\t%s=", known.avp_name);
		if (!head->avp_value)
			continue;
		switch (known.avp_basetype) {
		case AVP_TYPE_INTEGER32: fprintf(journal, "%" PRId32, head->avp_value->i32); break;
		case AVP_TYPE_INTEGER64: fprintf(journal, "%" PRId64, head->avp_value->i64); break;
		case AVP_TYPE_UNSIGNED32: fprintf(journal, "%" PRIu32, head->avp_value->u32); break;
		case AVP_TYPE_UNSIGNED64: fprintf(journal, "%" PRIu64, head->avp_value->u64); break;
		default: write_text(head->avp_value->os.data, head->avp_value->os.len);
		}
	}
}

/* The first AVP of this name, groups opened. */
static struct avp_hdr *find(msg_or_avp *parent, const char *name)
{
	struct avp *avp = NULL;

	if (fd_msg_browse(parent, MSG_BRW_FIRST_CHILD, &avp, NULL))
		return NULL;
	for (; avp; fd_msg_browse(avp, MSG_BRW_NEXT, &avp, NULL)) {
		struct dict_object *model = NULL;
		struct dict_avp_data known;
		struct avp_hdr *head = NULL;

		if (fd_msg_model(avp, &model) || !model || fd_dict_getval(model, &known) || fd_msg_avp_hdr(avp, &head))
			continue;
		if (!strcmp(known.avp_name, name))
			return head;
		if (known.avp_basetype == AVP_TYPE_GROUPED && (head = find(avp, name)))
			return head;
	}
	return NULL;
}

/* Text of an AVP, cut to what fits; empty when it is not there. */
static void text_of(struct msg *request, const char *name, char *text, size_t room)
{
	struct avp_hdr *head = find(request, name);
	size_t length = head && head->avp_value ? head->avp_value->os.len : 0;

	if (length >= room)
		length = room - 1;
	if (length)
		memcpy(text, head->avp_value->os.data, length);
	text[length] = 0;
}

/* The options of a word such as 5031+ddfh=1+in. */
static void read_word(char *word, struct told *told)
{
	char *place = NULL, *option = strtok_r(word, "+", &place);

	if (option && !strcmp(option, "silent"))
		told->silent = 1;
	else if (option)
		told->result = atoi(option);
	while ((option = strtok_r(NULL, "+", &place))) {
		char *value = strchr(option, '=');
		int64_t number = value ? atoi(value + 1) : 1;

		if (value)
			*value = 0;
		if (!strcmp(option, "in")) told->inside = 1;
		if (!strcmp(option, "fui")) told->final = 1;
		if (!strcmp(option, "ccfh")) told->failure = number;
		if (!strcmp(option, "ddfh")) told->debit_failure = number;
		if (!strcmp(option, "fo")) told->failover = number;
		if (!strcmp(option, "vt")) told->validity = number;
	}
}

/* Which time it is that this session is asked for, from 0. */
static unsigned turn_of(const char *session)
{
	struct turn *turn;

	for (turn = turns; turn; turn = turn->next)
		if (!strcmp(turn->session, session))
			return ++turn->count;
	if (!(turn = calloc(1, sizeof *turn)))
		return 0;
	snprintf(turn->session, sizeof turn->session, "%s", session);
	turn->next = turns;
	turns = turn;
	return 0;
}

/* What to do with a request: row!cdf1=4002,silent,2001!cdf2=2001 has words for each peer, the last one for good. */
static struct told told_of(struct msg *request)
{
	struct told told = { 0, 2001, 0, 0, -1, -1, -1, -1 };
	char icid[512], session[256], mine[128], *words, *word, *place = NULL;

	text_of(request, "IMS-Charging-Identifier", icid, sizeof icid);
	text_of(request, "Session-Id", session, sizeof session);
	snprintf(mine, sizeof mine, "!%.*s=", (int)strcspn(fd_g_config->cnf_diamid, "."), fd_g_config->cnf_diamid);
	if (!(words = strstr(icid, mine)))
		return told;
	words += strlen(mine);
	words[strcspn(words, "!")] = 0;
	unsigned turn = turn_of(session);
	for (word = strtok_r(words, ",", &place); word; turn--) {
		char *next = strtok_r(NULL, ",", &place);

		if (!turn || !next) {
			read_word(word, &told);
			break;
		}
		word = next;
	}
	return told;
}

/* Adds an AVP of this name, with the value, and gives it back. */
static struct avp *put(msg_or_avp *parent, const char *name, union avp_value *value)
{
	struct dict_object *model = NULL;
	struct avp *avp = NULL;

	if (fd_dict_search(fd_g_config->cnf_dict, DICT_AVP, AVP_BY_NAME, name, &model, ENOENT) ||
	    fd_msg_avp_new(model, 0, &avp) || (value && fd_msg_avp_setvalue(avp, value)) ||
	    fd_msg_avp_add(parent, MSG_BRW_LAST_CHILD, avp)) {
		fd_log_error("cannot add %s", name);
		return NULL;
	}
	return avp;
}

static void put_number(msg_or_avp *parent, const char *name, uint32_t number)
{
	union avp_value value = { .u32 = number };

	put(parent, name, &value);
}

/* Copies a mandatory AVP of the answer from the request. */
static void copy(struct msg *request, struct msg *answer, const char *name)
{
	struct avp_hdr *head = find(request, name);

	if (head)
		put(answer, name, head->avp_value);
}

/* One unit, where the request has its own. */
static void grant(struct msg *request, struct msg *answer, struct told *told)
{
	union avp_value one = { .u64 = 1 };
	msg_or_avp *place = answer;
	struct avp *granted;

	if (find(request, "Multiple-Services-Credit-Control") || told->inside)
		place = put(answer, "Multiple-Services-Credit-Control", NULL);
	if (!place)
		return;
	if (told->result == 2001 && (granted = put(place, "Granted-Service-Unit", NULL)))
		put(granted, "CC-Service-Specific-Units", &one);
	if (place == answer)
		return;
	put_number(place, "Result-Code", told->result);
	if (told->validity >= 0)
		put_number(place, "Validity-Time", told->validity);
	if (told->final)
		put_number(put(place, "Final-Unit-Indication", NULL), "Final-Unit-Action", 0);
}

/* What an answer of the OCS has beside its result. */
static void credit(struct msg *request, struct msg *answer, struct told *told)
{
	struct avp_hdr *kind = find(request, "CC-Request-Type");

	copy(request, answer, "CC-Request-Type");
	copy(request, answer, "CC-Request-Number");
	if (told->inside || (told->result == 2001 && kind && kind->avp_value->u32 != 3))
		grant(request, answer, told);
	if (told->failure >= 0)
		put_number(answer, "Credit-Control-Failure-Handling", told->failure);
	if (told->debit_failure >= 0)
		put_number(answer, "Direct-Debiting-Failure-Handling", told->debit_failure);
	if (told->failover >= 0)
		put_number(answer, "CC-Session-Failover", told->failover);
}

static int take(struct msg **msg, struct avp *avp, struct session *session, void *opaque, enum disp_action *action)
{
	struct msg *request = *msg;
	struct msg_hdr *head = NULL;
	struct told told;

	CHECK_FCT(fd_msg_hdr(request, &head));
	if (!(head->msg_flags & CMD_FLAG_REQUEST))
		return 0;
	flockfile(journal); /* several threads answer */
	fprintf(journal, "T=%d\tE2E=%" PRIu32, !!(head->msg_flags & CMD_FLAG_RETRANSMIT), head->msg_eteid);
	write_avps(request);
	fputc('\n', journal);
	fflush(journal);
	told = told_of(request);
	funlockfile(journal);
	if (told.silent) {
		fd_msg_free(request);
		*msg = NULL;
		return 0;
	}

	uint32_t result = told.inside ? 2001 : told.result;
	int accounting = head->msg_appl == 3;
	CHECK_FCT(fd_msg_new_answer_from_req(fd_g_config->cnf_dict, msg, 0));
	put_number(*msg, "Result-Code", result);
	CHECK_FCT(fd_msg_add_origin(*msg, 0));
	if (result / 1000 == 3) { /* RFC 6733 7.1.3: protocol errors, and only they, have the E flag */
		CHECK_FCT(fd_msg_hdr(*msg, &head));
		head->msg_flags |= CMD_FLAG_ERROR;
	}
	if (accounting) {
		copy(request, *msg, "Accounting-Record-Type");
		copy(request, *msg, "Accounting-Record-Number");
		copy(request, *msg, "Acct-Application-Id");
	} else {
		copy(request, *msg, "Auth-Application-Id");
		credit(request, *msg, &told);
	}
	CHECK_FCT(fd_msg_send(msg, NULL, NULL));
	return 0;
}

static int serve(application_id_t id)
{
	struct disp_when when = { 0 };

	CHECK_FCT(fd_dict_search(fd_g_config->cnf_dict, DICT_APPLICATION, APPLICATION_BY_ID, &id, &when.app, ENOENT));
	CHECK_FCT(fd_disp_register(take, DISP_HOW_APPID, &when, NULL, NULL));
	CHECK_FCT(fd_disp_app_support(when.app, NULL, id == 4, id == 3));
	return 0;
}

static int start(char *path)
{
	journal = fopen(path, "a");
	CHECK_PARAMS(journal);
	/* A host that is called ocs... is no CDF, and the other way round, so that a relay tells them apart. */
	if (strncmp(fd_g_config->cnf_diamid, "ocs", 3))
		CHECK_FCT(serve(3)); /* base accounting */
	if (strncmp(fd_g_config->cnf_diamid, "cdf", 3))
		CHECK_FCT(serve(4)); /* credit control */
	return 0;
}

void fd_ext_fini(void)
{
	if (journal)
		fclose(journal);
}

EXTENSION_ENTRY("peer", start, "dict_dcca_3gpp");
