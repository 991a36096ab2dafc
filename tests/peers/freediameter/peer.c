/* freeDiameter extension: a CDF and an OCS that answer every request with success, or as its IMS-Charging-Identifier
   tells (../README.md), that ask by themselves (RAR, ASR), and write down, one line each, what freeDiameter's own dictionary makes of it:

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
	int again, abort; /* a RAR, an ASR follows */
	int short_of_credit;
	uint64_t units;
	int64_t failure, debit_failure, failover, validity; /* -1: not said */
	int64_t price; /* hundredths of currency 978 */
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
		if (!strcmp(option, "rar")) told->again = 1;
		if (!strcmp(option, "asr")) told->abort = 1;
		if (!strcmp(option, "units")) told->units = number;
		if (!strcmp(option, "short")) told->short_of_credit = 1;
		if (!strcmp(option, "price")) told->price = number;
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
	struct told told = { .result = 2001, .units = 1, .failure = -1, .debit_failure = -1, .failover = -1, .validity = -1, .price = 15 };
	char icid[512], session[256], mine[128], *words, *word, *place = NULL;

	text_of(request, "IMS-Charging-Identifier", icid, sizeof icid);
	if (!*icid)
		text_of(request, "Subscription-Id-Data", icid, sizeof icid);
	text_of(request, "Session-Id", session, sizeof session);
	snprintf(mine, sizeof mine, "!%.*s=", (int)strcspn(fd_g_config->cnf_diamid, "."), fd_g_config->cnf_diamid);
	if (!(words = strstr(icid, mine)))
		return told;
	words += strlen(mine);
	words[strcspn(words, "!@")] = 0;
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

/* The units, where the request has its own. */
static void grant(struct msg *request, struct msg *answer, struct told *told)
{
	union avp_value units = { .u64 = told->units };
	msg_or_avp *place = answer;
	struct avp *granted;

	if (find(request, "Multiple-Services-Credit-Control") || told->inside)
		place = put(answer, "Multiple-Services-Credit-Control", NULL);
	if (!place)
		return;
	if (told->result == 2001 && (granted = put(place, "Granted-Service-Unit", NULL)))
		put(granted, "CC-Service-Specific-Units", &units);
	if (place == answer)
		return;
	put_number(place, "Result-Code", told->result);
	if (told->validity >= 0)
		put_number(place, "Validity-Time", told->validity);
	if (told->final)
		put_number(put(place, "Final-Unit-Indication", NULL), "Final-Unit-Action", 0);
}

/* What it would cost: so many hundredths of a currency. */
static void put_price(struct msg *answer, int64_t price)
{
	union avp_value digits = { .i64 = price }, exponent = { .i32 = -2 };
	struct avp *cost = put(answer, "Cost-Information", NULL), *value = cost ? put(cost, "Unit-Value", NULL) : NULL;

	if (!value)
		return;
	put(value, "Value-Digits", &digits);
	put(value, "Exponent", &exponent);
	put_number(cost, "Currency-Code", 978);
}

enum { CHECK_BALANCE = 2, PRICE_ENQUIRY = 3, INITIAL = 1, TERMINATION = 3 };

static uint32_t number_of(struct msg *request, const char *name)
{
	struct avp_hdr *head = find(request, name);

	return head && head->avp_value ? head->avp_value->u32 : 0;
}

/* What an answer of the OCS has beside its result. */
static void credit(struct msg *request, struct msg *answer, struct told *told)
{
	uint32_t kind = number_of(request, "CC-Request-Type"), action = number_of(request, "Requested-Action");

	copy(request, answer, "CC-Request-Type");
	copy(request, answer, "CC-Request-Number");
	if (action == CHECK_BALANCE || action == PRICE_ENQUIRY) {
		if (told->result == 2001 && action == CHECK_BALANCE)
			put_number(answer, "Check-Balance-Result", told->short_of_credit);
		if (told->result == 2001 && action == PRICE_ENQUIRY)
			put_price(answer, told->price);
	} else if (told->inside || (told->result == 2001 && kind != TERMINATION))
		grant(request, answer, told);
	if (told->failure >= 0)
		put_number(answer, "Credit-Control-Failure-Handling", told->failure);
	if (told->debit_failure >= 0)
		put_number(answer, "Direct-Debiting-Failure-Handling", told->debit_failure);
	if (told->failover >= 0)
		put_number(answer, "CC-Session-Failover", told->failover);
}

/* What a RAR or ASR is about. */
struct question {
	const char *command, *answer;
	char session[256], host[256], realm[256];
};

/* The answer to a RAR or ASR, in the journal. */
static void answered(void *data, struct msg **msg)
{
	struct question *question = data;

	flockfile(journal);
	fprintf(journal, "%s\tResult-Code=%" PRIu32 "\tSession-Id=%s\n", question->answer, number_of(*msg, "Result-Code"),
		question->session);
	fflush(journal);
	funlockfile(journal);
	free(question);
	fd_msg_free(*msg);
	*msg = NULL;
}

static void put_text(struct msg *msg, const char *name, char *text)
{
	union avp_value value = { .os = { .data = (uint8_t *)text, .len = strlen(text) } };

	put(msg, name, &value);
}

/* Asks, a moment after the session began. */
static void *ask(void *data)
{
	struct question *question = data;
	struct dict_object *model = NULL;
	struct msg *msg = NULL;
	struct msg_hdr *head = NULL;

	usleep(200000);
	if (fd_dict_search(fd_g_config->cnf_dict, DICT_COMMAND, CMD_BY_NAME, question->command, &model, ENOENT) ||
	    fd_msg_new(model, MSGFL_ALLOC_ETEID, &msg) || fd_msg_hdr(msg, &head)) {
		fd_log_error("no %s", question->command);
		free(question);
		return NULL;
	}
	head->msg_appl = 4;
	head->msg_flags |= CMD_FLAG_PROXIABLE;
	put_text(msg, "Session-Id", question->session);
	fd_msg_add_origin(msg, 0);
	put_text(msg, "Destination-Realm", question->realm);
	put_text(msg, "Destination-Host", question->host);
	put_number(msg, "Auth-Application-Id", 4);
	if (!strcmp(question->answer, "RAA"))
		put_number(msg, "Re-Auth-Request-Type", 0);
	if (fd_msg_send(&msg, answered, question))
		fd_log_error("cannot send %s", question->command);
	return NULL;
}

/* A RAR or ASR for the session that begins with this request. */
static void will_ask(struct msg *request, const char *command, const char *answer)
{
	struct question *question = calloc(1, sizeof *question);
	pthread_t thread;

	if (!question)
		return;
	question->command = command;
	question->answer = answer;
	text_of(request, "Session-Id", question->session, sizeof question->session);
	text_of(request, "Origin-Host", question->host, sizeof question->host);
	text_of(request, "Origin-Realm", question->realm, sizeof question->realm);
	if (pthread_create(&thread, NULL, ask, question))
		free(question);
	else
		pthread_detach(thread);
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
		if (told.again && number_of(request, "CC-Request-Type") == INITIAL)
			will_ask(request, "Re-Auth-Request", "RAA");
		if (told.abort && number_of(request, "CC-Request-Type") == INITIAL)
			will_ask(request, "Abort-Session-Request", "ASA");
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
