package sip

import (
	"sync"
	"time"
)

// desks counts the calls of each target, so that a position is offered one at
// a time, and remembers since when it has been idle.
type desks struct {
	mu    sync.Mutex
	all   map[string]*desk
	freed func(key string) // called without the lock
}

type desk struct {
	active int
	idle   time.Time
}

func newDesks(freed func(string)) *desks {
	return &desks{all: map[string]*desk{}, freed: freed}
}

// take reserves a place at key; limit 0 is as many as come.
func (d *desks) take(key string, limit int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.all[key]
	if k == nil {
		k = &desk{}
		d.all[key] = k
	}
	if limit > 0 && k.active >= limit {
		return false
	}
	k.active++
	return true
}

// release gives a place back.
func (d *desks) release(key string) {
	d.mu.Lock()
	if k := d.all[key]; k != nil && k.active > 0 {
		k.active--
		k.idle = time.Now()
	}
	d.mu.Unlock()
	d.freed(key)
}

// state returns how many calls key has and since when it had none.
func (d *desks) state(key string) (active int, idle time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.all[key]; k != nil {
		return k.active, k.idle
	}
	return 0, time.Time{}
}
