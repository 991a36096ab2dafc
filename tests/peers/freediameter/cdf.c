/* freeDiameter extension: a CDF that answers every accounting request with success and writes down, one line each,
   what freeDiameter's own dictionary makes of it:

       T=0 <TAB> E2E=7 <TAB> Session-Id=... <TAB> ... <TAB> SIP-Method=PUBLISH ...

   An AVP that the dictionary does not know appears as ?code. Built by `run` beside this file. */
#include <freeDiameter/extension.h>
#include <inttypes.h>

static FILE *journal;

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

/* Copies a mandatory AVP of the answer from the request. */
static void copy(struct msg *request, struct msg *answer, const char *name)
{
	struct dict_object *model = NULL;
	struct avp *avp = NULL, *twin = NULL;
	struct avp_hdr *head = NULL;

	if (fd_dict_search(fd_g_config->cnf_dict, DICT_AVP, AVP_BY_NAME, name, &model, ENOENT) ||
	    fd_msg_search_avp(request, model, &avp) || !avp || fd_msg_avp_hdr(avp, &head) ||
	    fd_msg_avp_new(model, 0, &twin))
		return;
	fd_msg_avp_setvalue(twin, head->avp_value);
	fd_msg_avp_add(answer, MSG_BRW_LAST_CHILD, twin);
}

static int take(struct msg **msg, struct avp *avp, struct session *session, void *opaque, enum disp_action *action)
{
	struct msg *request = *msg;
	struct msg_hdr *head = NULL;

	CHECK_FCT(fd_msg_hdr(request, &head));
	if (!(head->msg_flags & CMD_FLAG_REQUEST))
		return 0;
	flockfile(journal); /* several threads answer */
	fprintf(journal, "T=%d\tE2E=%" PRIu32, !!(head->msg_flags & CMD_FLAG_RETRANSMIT), head->msg_eteid);
	write_avps(request);
	fputc('\n', journal);
	fflush(journal);
	funlockfile(journal);

	CHECK_FCT(fd_msg_new_answer_from_req(fd_g_config->cnf_dict, msg, 0));
	CHECK_FCT(fd_msg_rescode_set(*msg, "DIAMETER_SUCCESS", NULL, NULL, 1));
	copy(request, *msg, "Accounting-Record-Type");
	copy(request, *msg, "Accounting-Record-Number");
	copy(request, *msg, "Acct-Application-Id");
	CHECK_FCT(fd_msg_send(msg, NULL, NULL));
	return 0;
}

static int start(char *path)
{
	application_id_t accounting = 3;
	struct disp_when when = { 0 };

	journal = fopen(path, "a");
	CHECK_PARAMS(journal);
	CHECK_FCT(fd_dict_search(fd_g_config->cnf_dict, DICT_APPLICATION, APPLICATION_BY_ID, &accounting, &when.app, ENOENT));
	CHECK_FCT(fd_disp_register(take, DISP_HOW_APPID, &when, NULL, NULL));
	CHECK_FCT(fd_disp_app_support(when.app, NULL, 0, 1));
	return 0;
}

void fd_ext_fini(void)
{
	if (journal)
		fclose(journal);
}

EXTENSION_ENTRY("cdf", start, "dict_dcca_3gpp");
