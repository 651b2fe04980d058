package keymgr

import (
	"context"
	"errors"
	"strings"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// How often an activation is tried of which nobody knows the outcome. The deadline ends it in any case.
const maxActivations = 5

// once runs try. Where nobody knows what came of that, look finds out whether the change is there: if it is, it is adopted,
// and if it is not, try runs again, as often as the client may retry. So nothing is made twice, and nothing that was made is
// lost. The first look is immediate; another follows the pause before each retry, for a change that arrives late. effect says
// what may have happened, for an error that leaves it open.
func (m *Manager) once(ctx context.Context, effect func() string, try func() error, look func() (bool, error)) error {
	first := try()
	if !outcomeUnknown(first) {
		return first
	}
	var refused error // a further attempt, perhaps because the first has taken the Name
	for again := m.client.Attempts(); ; {
		there, unseen := look()
		more := !there && again.Next(ctx)
		if more && unseen == nil {
			there, unseen = look()
		}
		switch {
		case there:
			return nil
		case !more, unseen == nil && refused != nil:
			return inDoubt(first, refused, unseen, effect())
		case unseen != nil: // the client has waited and tried again before it gave up; a later look may see
			continue
		}
		err := try()
		if err == nil {
			return nil
		}
		if refused = nil; isResult(err) {
			refused = err
		}
	}
}

// outcomeUnknown reports whether nobody knows the outcome: the request may have been carried out, and no answer says so.
func outcomeUnknown(err error) bool {
	var lost *kmip.TransportError
	var bad *kmip.BadResponseError
	var doubt *uncertain
	return errors.As(err, &doubt) || errors.As(err, &lost) && lost.MaybeExecuted || errors.As(err, &bad) && bad.MaybeExecuted
}

// mayExist tells the operator under which Name to look for an object that may have been made.
func (d *description) mayExist() string { return mayExist(d.names) }

func mayExist(names []string) string {
	return "the object may exist under the Name " + strings.Join(names, " or ")
}

// identify is the server's identifier of the object that has the Name, "" where there is none.
func (m *Manager) identify(ctx context.Context, name string) (string, error) {
	located, err := kmip.Do(ctx, m.client, locate(name))
	if err != nil {
		return "", err
	}
	f, err := m.oneOf(ctx, located.UniqueIdentifiers, name, false, nil)
	if err != nil || f == nil || f.destroyed() {
		return "", err
	}
	return f.id, nil
}

// made notes which server made an object, and keeps the rest of the operation to it.
func (m *Manager) made(id string) {
	m.maker = m.client.Server()
	m.settle(id)
}

// activate makes an object Active in a round trip of its own. One that is Active already is well.
func (m *Manager) activate(ctx context.Context, id string) error {
	var err error
	for range maxActivations {
		if _, err = kmip.Do(ctx, m.client, &kmip.Activate{UniqueIdentifier: id}); err == nil {
			return nil
		}
		state, stateErr := m.state(ctx, id)
		if stateErr == nil && state == kmip.Active {
			return nil
		}
		if !outcomeUnknown(err) || stateErr != nil {
			return err
		}
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

// undo destroys an object that came out wrong, and returns why it was. That another server than the one that made it does
// not know it tells nothing. What may be somebody else's is not destroyed.
func (m *Manager) undo(ctx context.Context, id string, d *description, why error) error {
	err := errUnproven
	if !d.unproven {
		err = m.destroy(ctx, id)
	}
	if gone := isNotFound(err) && m.client.Server() == m.maker; err != nil && !gone {
		e := asError(why)
		e.Message += "; the object stays behind under the Name " + d.name() + ", since it could not be destroyed: " + err.Error()
		e.MaybeExecuted = true
		return e
	}
	return why
}

// errUnproven keeps an object that the server says it made, and shows nothing of, from being destroyed.
var errUnproven = errors.New("the server does not show that it is the one")
