package keymgr

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// change is something that is done at a server.
type change struct {
	try  func() error         // asks for it
	look func() (bool, error) // finds out whether it is there; false beside an error
	safe bool                 // to ask for it twice does no harm
}

// once carries a change out exactly once. Where the outcome is unknown it looks for the change: one that is there is adopted;
// one that is not is tried again, as often as the client may retry. So nothing is made twice, and nothing that was made is
// lost. A server that did not answer in time may still be working on it: as long as it can be asked, it is only looked at.
func (m *Manager) once(ctx context.Context, c change) error {
	var late []string // servers
	try := func() error {
		err := c.try()
		if outcomeUnknown(err) && errors.Is(err, context.DeadlineExceeded) && !c.safe {
			late = append(late, m.client.Server())
		}
		return err
	}
	first := try()
	if !outcomeUnknown(first) {
		return first
	}
	isLate := func() bool { return slices.Contains(late, m.client.Server()) }
	var refused error // a further attempt, perhaps because the first has taken the Name
	for again := m.client.Attempts(); ; {
		pause := again.Next
		if isLate() {
			pause = again.Wait
		}
		there, more, unseen := c.await(ctx, pause)
		switch {
		case there:
			return nil
		case !more, unseen == nil && refused != nil:
			return inDoubt(first, refused, unseen)
		case unseen != nil, isLate(): // the client has waited and tried again before it gave up; a later look may see
			continue
		}
		err := try()
		if err == nil {
			return nil
		}
		if refused = nil; isRefusal(err) {
			refused = err
		}
	}
}

// await looks whether the change is there, and again after a pause, for one that comes late. more reports whether there is
// time and leave to go on.
func (c *change) await(ctx context.Context, pause func(context.Context) bool) (there, more bool, unseen error) {
	if there, unseen = c.look(); there || !pause(ctx) {
		return there, false, unseen
	}
	if unseen == nil {
		there, unseen = c.look()
	}
	return there, true, unseen
}

// outcomeUnknown reports whether nobody knows the outcome: the request may have been carried out, and no answer says so.
func outcomeUnknown(err error) bool {
	var lost *kmip.TransportError
	var bad *kmip.BadResponseError
	var doubt *uncertain
	return errors.As(err, &doubt) || errors.As(err, &lost) && lost.MaybeExecuted || errors.As(err, &bad) && bad.MaybeExecuted
}

// mayExist tells the operator under which Names to look for objects that may have been made, and at which servers: at the one
// that is in the error where none is named here.
func mayExist(all ...*description) string {
	var places []string
	for _, d := range all {
		for _, l := range d.left {
			places = append(places, l.name+" at "+l.server)
		}
		places = append(places, d.name)
	}
	return "the object may exist under the Name " + strings.Join(places, " or ")
}

// madeAs is the object that was made under that Name, nil where there is none.
func (m *Manager) madeAs(ctx context.Context, name string) (*found, error) {
	ids, err := withName(ctx, m.client, name)
	if err != nil {
		return nil, err
	}
	f, err := m.oneOf(ctx, ids, name, false, nil)
	if err != nil || f == nil || f.destroyed() {
		return nil, err
	}
	return f, nil
}

// report tells of what may have been left behind by attempts before the one that made these.
func (m *Manager) report(made ...*description) {
	if m.config.LeftBehind == nil {
		return
	}
	for _, d := range made {
		for _, l := range d.left {
			m.config.LeftBehind(l.server, l.name)
		}
	}
}

// activate makes an object Active in a round trip of its own. One that is Active already is well.
func (m *Manager) activate(ctx context.Context, id string) error {
	try := func() error {
		_, err := kmip.Do(ctx, m.client, &kmip.Activate{UniqueIdentifier: id})
		return err
	}
	isActive := func() (bool, error) {
		state, err := m.state(ctx, id)
		return state == kmip.Active, err
	}
	err := m.once(ctx, change{try: try, look: isActive, safe: true})
	if err == nil {
		return nil
	}
	already, unseen := isActive()
	switch {
	case already:
		return nil
	case isRefusal(err) && unseen != nil && !isRefusal(unseen): // and it may have been refused for being Active
		return &uncertain{unseen, []string{"activating the key: " + err.Error()}}
	}
	return err
}

func (m *Manager) state(ctx context.Context, id string) (kmip.State, error) {
	known, err := m.known(ctx, id, ttlv.TagState)
	return known.State(), err
}

// known are those of an object's attributes that have these tags.
func (m *Manager) known(ctx context.Context, id string, tags ...ttlv.Tag) (kmip.Attributes, error) {
	request := &kmip.GetAttributes{UniqueIdentifier: id}
	for _, tag := range tags {
		request.Names = append(request.Names, kmip.AttributeName{Tag: tag})
	}
	got, err := kmip.Do(ctx, m.client, request)
	if err != nil {
		return nil, err
	}
	return got.Attributes, nil
}

// ensureActive sees to an object whose activation ended with err. One that cannot be activated does not stay behind.
func (m *Manager) ensureActive(ctx context.Context, id string, d *description, err error) error {
	if err == nil {
		return nil
	}
	if err := m.activate(ctx, id); err != nil {
		return m.undo(ctx, id, d, err)
	}
	return nil
}

// undo destroys a new object that came out wrong, and returns why it was. The client is pinned to the server that made it. An
// object that may be somebody else's is left alone.
func (m *Manager) undo(ctx context.Context, id string, d *description, why error) error {
	err := errUnproven
	if !d.unproven {
		err = m.destroy(ctx, id)
	}
	if err != nil && !isNotFound(err) {
		e := blamed(why)
		e.Message += "; the object stays behind under the Name " + d.name + ", since it could not be destroyed: " + err.Error()
		e.MaybeExecuted = true
		return e
	}
	if outcomeUnknown(why) { // but nothing is left of it
		e := blamed(why)
		e.MaybeExecuted = false
		return e
	}
	return why
}

// errUnproven is why an object is not destroyed: it may not be the one that was made.
var errUnproven = errors.New("the server does not show that it made this object")
