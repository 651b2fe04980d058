package mock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kmip-keymgr/kmip"
)

// Entry is one object in the inventory file.
type Entry struct {
	ID        string   `json:"id"`
	Names     []string `json:"names"`
	Type      string   `json:"type"`
	State     string   `json:"state"`
	ProjectID string   `json:"project_id"`
	UserID    string   `json:"user_id"`
}

// Inventory lists the objects that there are, the oldest first, as the inventory file does. It has no key material.
func (s *Server) Inventory() []Entry {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	list := make([]Entry, 0, len(s.store.ordered))
	for _, o := range s.store.ordered {
		list = append(list, o.entry())
	}
	return list
}

// inventory is a file that lists the objects. The mutex keeps an older list from replacing a newer one.
type inventory struct {
	file string

	mu      sync.Mutex
	written bool
	changes uint64 // the store's count of changes when it was written
	text    []byte // reused
}

// write rewrites the file if anything has changed since. A reader sees the old list or the new, never half of one.
func (i *inventory) write(s *store) error {
	if i.file == "" {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.written && s.unchanged(i.changes) {
		return nil
	}
	text, changes, err := s.appendInventory(i.text[:0])
	i.text = text
	if err == nil {
		err = writeFile(i.file, text, 0o644)
	}
	if err == nil {
		i.written, i.changes = true, changes
	}
	return err
}

// inventoryInterval is how long the file may say something that a date has overtaken.
const inventoryInterval = 100 * time.Millisecond

// keepInventory writes down what no request has changed, but the time.
func (s *Server) keepInventory() {
	for s.pause(inventoryInterval); s.stopping.Err() == nil; s.pause(inventoryInterval) {
		s.store.refreshAll(time.Now())
		_ = s.inv.write(&s.store) // a request that changes something will say why it cannot be written
	}
}

// refreshAll moves all objects to the states that their dates have brought about by now.
func (s *store) refreshAll(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ordered {
		s.refresh(o, now)
	}
}

func (s *store) unchanged(since uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes == since
}

// appendInventory appends the whole list as JSON. Objects that have not changed are not written out again, or ten thousand
// keys would take their square in time.
func (s *store) appendInventory(text []byte) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := "[]\n"
	for i, o := range s.ordered {
		start := ",\n  "
		if i == 0 {
			start, end = "[\n  ", "\n]\n"
		}
		if o.listed == nil {
			var err error
			if o.listed, err = json.MarshalIndent(o.entry(), "  ", "  "); err != nil {
				return text, 0, err
			}
		}
		text = append(append(text, start...), o.listed...)
	}
	return append(text, end...), s.changes, nil
}

func (o *object) entry() Entry {
	known := kmip.Attributes(o.attributes)
	e := Entry{ID: o.id, Names: append([]string{}, known.Names()...), Type: o.Type.String()}
	if o.state() != 0 {
		e.State = o.state().String()
	}
	e.ProjectID, e.UserID = o.madeBy()
	return e
}

// writeFile replaces a file in one step, the one that a symbolic link leads to. What is no file stays what it is.
func writeFile(file string, data []byte, mode os.FileMode) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", file)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	err = cmp.Or(err, temp.Chmod(mode), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
