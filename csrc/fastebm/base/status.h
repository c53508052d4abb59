/* The status that every function of the core returns. The table is the single source of the enum,
   of the text a user reads and of the Python exception that the binding raises. */
#ifndef FASTEBM_BASE_STATUS_H
#define FASTEBM_BASE_STATUS_H

/* clang-format off: one line a status, (name, text, Python exception) */
#define EBM_STATUS_TABLE(X)                                                                   \
    X(EBM_OK, "success", "")                                                                  \
    X(EBM_ERR_ARGUMENT, "an argument is out of range", "ValueError")                          \
    X(EBM_ERR_MEMORY, "out of memory", "MemoryError")                                         \
    X(EBM_ERR_UNSUPPORTED, "this kernel does not offer the requested operation",              \
      "NotImplementedError")                                                                  \
    X(EBM_ERR_INDPTR, "indptr decreases, or does not run from 0 to nnz", "InvalidChainError") \
    X(EBM_ERR_INDEX, "a column index is outside 0..n_states-1", "InvalidChainError")          \
    X(EBM_ERR_NONFINITE, "an entry is NaN or infinite", "InvalidChainError")                  \
    X(EBM_ERR_NEGATIVE, "an entry is negative", "InvalidChainError")                          \
    X(EBM_ERR_EMPTY_ROW, "a row has no positive entry", "InvalidChainError")                  \
    X(EBM_ERR_STATE, "a walker is outside 0..n_states-1", "InvalidChainError")                \
    X(EBM_ERR_BREAKDOWN, "the recurrence broke down (a NaN or an infinite norm)",             \
      "ArithmeticError")                                                                      \
    X(EBM_ERR_RULE_REFUSED, "the rule returned -1", "InvalidChainError")                      \
    X(EBM_ERR_RULE_RAISED, "the rule raised an exception", "InvalidChainError")               \
    X(EBM_ERR_RULE_DEGREE, "the rule returned a degree outside 0..max_degree", "InvalidChainError")
/* clang-format on */

#define EBM_STATUS_ENUM(name, text, exception) name,
typedef enum ebm_status { EBM_STATUS_TABLE(EBM_STATUS_ENUM) EBM_N_STATUS } ebm_status_t;
#undef EBM_STATUS_ENUM

const char *ebm_status_text(int status);
const char *ebm_status_exception(int status); /* the name of a Python exception class */

#endif
