package inspect

import (
	"container/list"
	"sync"
)

// recent keeps the values of at most limit names, those used last. It is safe
// for concurrent use.
type recent[V any] struct {
	limit int

	mu    sync.Mutex
	byAge list.List // of named[V], the latest used in front
	names map[string]*list.Element
}

type named[V any] struct {
	name  string
	value V
}

func newRecent[V any](limit int) *recent[V] {
	return &recent[V]{limit: limit, names: make(map[string]*list.Element)}
}

// find returns the value of a name.
func (r *recent[V]) find(name string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.names[name]; e != nil {
		r.byAge.MoveToFront(e)
		return e.Value.(named[V]).value, true
	}
	var none V
	return none, false
}

// enter gives a name a value, unless it has one and keep is set, and returns
// what it then has.
func (r *recent[V]) enter(name string, v V, keep bool) V {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.names[name]; e != nil {
		r.byAge.MoveToFront(e)
		if keep {
			return e.Value.(named[V]).value
		}
		e.Value = named[V]{name, v}
		return v
	}
	if r.byAge.Len() >= r.limit {
		oldest := r.byAge.Back()
		r.byAge.Remove(oldest)
		delete(r.names, oldest.Value.(named[V]).name)
	}
	r.names[name] = r.byAge.PushFront(named[V]{name, v})
	return v
}
