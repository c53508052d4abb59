#include "fastebm/base/status.h"

#define EBM_STATUS_TEXT(name, text, exception) text,
#define EBM_STATUS_EXCEPTION(name, text, exception) exception,
static const char *const texts[] = {EBM_STATUS_TABLE(EBM_STATUS_TEXT)};
static const char *const exceptions[] = {EBM_STATUS_TABLE(EBM_STATUS_EXCEPTION)};

const char *ebm_status_text(int status)
{
    return status >= 0 && status < EBM_N_STATUS ? texts[status] : "unknown status";
}

const char *ebm_status_exception(int status)
{
    return status >= 0 && status < EBM_N_STATUS ? exceptions[status] : "RuntimeError";
}
