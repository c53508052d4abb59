# Statuses, vectors, random words, and what all bindings share.


cdef int check(int status) except -1:
    """Raise the exception that the status table names."""
    if status != EBM_OK:
        name = ebm_status_exception(status).decode()
        kind = getattr(_errors, name, None) or getattr(builtins, name)
        raise kind(ebm_status_text(status).decode())
    return 0


cdef int need(bint condition, str what) except -1:
    """Check of lengths and layouts by the bindings: a failure is a defect of fastebm, not of its
    user."""
    if not condition:
        raise ValueError(f"core: {what}")
    return 0


cdef const double *pointer(const double[::1] x) noexcept:
    return &x[0] if x is not None else NULL


cdef double[::1] doubles(int64_t n):
    return np.empty(n)


cdef int64_t[::1] int64s(int64_t n):
    return np.empty(n, np.int64)


cdef int32_t[::1] int32s(int64_t n):
    return np.empty(n, np.int32)


ctypedef fused number_t:
    double
    int64_t
    int32_t


cdef object as_array(number_t[::1] x):
    return np.asarray(x)


def vec_dot(const double[::1] x not None, const double[::1] y, int num_threads):
    """sum x y; y None for ones."""
    cdef double out
    cdef int status
    need(y is None or y.shape[0] == x.shape[0], "lengths of x and y")
    cdef const double *second = pointer(y)
    with nogil:
        status = ebm_vec_dot(x.shape[0], num_threads, &x[0], second, &out)
    check(status)
    return out


def vec_l1(const double[::1] x not None, const double[::1] y, int num_threads):
    """sum |x - y|; y None for zeros."""
    cdef double out
    cdef int status
    need(y is None or y.shape[0] == x.shape[0], "lengths of x and y")
    cdef const double *second = pointer(y)
    with nogil:
        status = ebm_vec_l1(x.shape[0], num_threads, &x[0], second, &out)
    check(status)
    return out


def vec_change(const double[::1] x not None, const double[::1] y not None, int num_threads):
    """max |x / y - 1|."""
    cdef double out
    cdef int status
    need(y.shape[0] == x.shape[0], "lengths of x and y")
    with nogil:
        status = ebm_vec_change(x.shape[0], num_threads, &x[0], &y[0], &out)
    check(status)
    return out


def normalize_logs(const double[::1] logs not None, int num_threads):
    """-> (log weights, weights, log of the sum): exp(logs) normalised to sum one."""
    cdef double[::1] u = doubles(logs.shape[0]), weights = doubles(logs.shape[0])
    cdef double log_sum
    cdef int status
    with nogil:
        status = ebm_vec_normalize_logs(logs.shape[0], num_threads, &logs[0], &u[0], &weights[0],
                                        &log_sum)
    check(status)
    return as_array(u), as_array(weights), log_sum


def philox_block(const uint64_t[::1] key not None, const uint64_t[::1] counter not None):
    """-> uint64 (4,): the block of Philox4x64-10."""
    cdef uint64_t[::1] out = np.empty(4, np.uint64)
    need(key.shape[0] == 2 and counter.shape[0] == 4, "key has two words, counter four")
    ebm_philox_block(&key[0], &counter[0], &out[0])
    return np.asarray(out)
