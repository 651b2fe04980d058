package keymgr

import (
	"context"
	"errors"
	"fmt"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// How often an outcome that is not known is looked into. The deadline ends it in any case.
const maxLooks = 5

// once makes something, and where nobody knows whether that worked, looks for it: what is found is adopted, and what is
// not is made again under the same Name. So nothing is made twice, and nothing that was made is lost. look tells whether
// it is there.
func (m *Manager) once(ctx context.Context, names string, try func() error, look func() (bool, error)) error {
	defer func() { m.maker = m.client.Server() }()
	lost := try()
	if !isLost(lost) {
		return lost
	}
	var refused error
	for i := 0; i < maxLooks && ctx.Err() == nil; i++ {
		there, err := look()
		switch {
		case err != nil:
			continue // the client has waited and tried again before it gave up
		case there:
			return nil
		case refused != nil:
			// Nothing has come through late, whose Name would be taken, but may yet.
			return fmt.Errorf("%w; the first attempt may yet come through, under the Name %s", refused, names)
		}
		if err = try(); err == nil {
			return nil
		}
		if isResult(err) {
			refused = err
		}
	}
	return perhapsMade(lost, names)
}

// isLost tells an outcome that nobody knows: the request may have been carried out, and there is no answer to tell.
func isLost(err error) bool {
	var lost *kmip.TransportError
	var bad *kmip.BadResponseError
	return errors.As(err, &lost) && lost.MaybeExecuted || errors.As(err, &bad) && bad.MaybeExecuted
}

// perhapsMade tells the operator under which Name to look for an object that may have been made.
func perhapsMade(err error, names string) error {
	e := asError(err)
	e.Message += "; the object may exist under the Name " + names
	return e
}

// named is the server's identifier of the object that has the Name, "" where there is none.
func (m *Manager) identify(ctx context.Context, name string) (string, error) {
	located, err := kmip.Do(ctx, m.client, &kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute(name)}})
	if err != nil {
		return "", err
	}
	f, err := m.oneOf(ctx, located.UniqueIdentifiers, name, false, nil)
	if err != nil || f == nil || f.destroyed() {
		return "", err
	}
	m.settle(f.id)
	return f.id, nil
}

// activate makes an object Active in a round trip of its own. One that is Active already is well.
func (m *Manager) activate(ctx context.Context, id string) error {
	var err error
	for range maxLooks {
		if _, err = kmip.Do(ctx, m.client, &kmip.Activate{UniqueIdentifier: id}); err == nil {
			return nil
		}
		state, stateErr := m.state(ctx, id)
		if stateErr == nil && state == kmip.Active {
			return nil
		}
		if !isLost(err) || stateErr != nil {
			return err
		}
	}
	return err
}

func (m *Manager) state(ctx context.Context, id string) (kmip.State, error) {
	got, err := kmip.Do(ctx, m.client, &kmip.GetAttributes{UniqueIdentifier: id, Names: []kmip.AttributeName{{Tag: ttlv.TagState}}})
	if err != nil {
		return 0, err
	}
	return got.Attributes.State(), nil
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
// not know it tells nothing.
func (m *Manager) undo(ctx context.Context, id string, d *description, why error) error {
	err := m.destroy(ctx, id)
	if gone := isNotFound(err) && m.client.Server() == m.maker; err != nil && !gone {
		e := asError(why)
		e.Message += "; the object stays behind under the Name " + d.name + ", since it could not be destroyed: " + err.Error()
		e.MaybeExecuted = true
		return e
	}
	return why
}
