package access

import (
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits is a token bucket for each of many keys.
type limits struct {
	every rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// maxBuckets bounds the memory that strangers can take up.
const maxBuckets = 10000

func newLimits(every rate.Limit, burst int) *limits {
	return &limits{every: every, burst: burst, buckets: map[string]*rate.Limiter{}}
}

// Allow takes one from the key's bucket, if there is one.
func (l *limits) Allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.sweep(now)
		}
		b = rate.NewLimiter(l.every, l.burst)
		l.buckets[key] = b
	}
	return b.AllowN(now, 1)
}

// sweep forgets buckets that are full again, which is as if they had never
// been, and all of them when that is not enough.
func (l *limits) sweep(now time.Time) {
	for k, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.burst)-0.5 {
			delete(l.buckets, k)
		}
	}
	if len(l.buckets) >= 2*maxBuckets {
		clear(l.buckets)
	}
}

func (l *limits) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.buckets, key)
}

// foldName makes names that are the same user's the same key, of bounded size.
func foldName(name string) string {
	name = strings.ToLower(name)
	return name[:min(len(name), 256)]
}
