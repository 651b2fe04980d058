// Package novaconf reads the [kmip] section of nova.conf as oslo.config reads it; "What is refused" lists the exceptions.
//
// # Which files
//
// The files are those of the --config-file and --config-dir arguments, in the order of the command line; what is read
// later wins. As in oslo.config, without any --config-file the default files come before the arguments, and without any
// --config-dir the default directories do: nova.conf and kmip-keymgr-helper.conf, nova.conf.d and
// kmip-keymgr-helper.conf.d, each from the first of ~/.nova, ~, /etc/nova, /etc, $SNAP_COMMON/etc/nova and
// $SNAP/etc/nova that has it, where it exists. Of a directory the *.conf are read, sorted, hidden ones left out.
// The environment variable OS_KMIP__HOST beats every file's [kmip] host; its text is taken as it is, and interpolated.
//
// # Interpolation
//
// $option and ${option} are the option's text in the same group, else in [DEFAULT]; $group.option is another group's;
// $$ and \$ are a dollar sign. Of [kmip] every option is known, with its default. Of other groups only what is set is
// known: a reference to anything else (such as $my_ip, which has a default inside of Nova) is an error and never a guess,
// and so is one from [other] to an option that only [DEFAULT] sets, since [other] might have one of that name.
// References give text, where oslo.config gives Python's idea of a typed option's value (True for true).
//
// # What is refused
//
// Everything that oslo.config refuses, and a few things that it takes: files that are neither regular nor /dev/null, or
// longer than 16 MiB; a --config-dir with a * ? or [ in its name, which it would take for a pattern; settings from
// elsewhere than files and the environment ([DEFAULT] config_source); variables that are not UTF-8; references to
// oslo.config's own options, and through more than 100 others; and values that cannot be honoured.
package novaconf

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Files are the parsed files and the environment. They are not for concurrent use.
type Files struct {
	paths []string
	files []map[string]*section
	// variables are those of the environment that may hold options.
	variables environment
	texts     map[name]*result
}

// name is an option's, with its group normalised.
type name struct{ group, option string }

// setting is an option's text as written, and where.
type setting struct {
	text     string
	file     string
	line     int
	variable string
}

// Load reads the files that the arguments name (nil: oslo.config's defaults, see the package), and takes HOME, SNAP,
// SNAP_COMMON and OS_GROUP__OPTION from environ, a list like os.Environ's. Its errors are of type *Error.
func Load(sources []Source, environ []string) (*Files, error) {
	f := &Files{variables: environment(environ).options(), texts: map[name]*result{}}
	paths, err := plan(sources, environ)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		sections, err := parseFile(path, text)
		if err != nil {
			return nil, err
		}
		f.paths = append(f.paths, path)
		f.files = append(f.files, sections)
	}
	return f, f.checkOwnOptions()
}

// checkOwnOptions looks at the three options that oslo.config reads for itself: it loads nothing when they do not
// interpolate, and asks drivers for more settings when config_source names groups with one.
func (f *Files) checkOwnOptions() error {
	for _, option := range [...]string{"config_file", "config_dir", "config_source"} {
		if _, _, err := f.Text("DEFAULT", option); err != nil {
			return err
		}
	}
	sources, _, _ := f.Text("DEFAULT", "config_source")
	for _, group := range splitList(sources) {
		n := name{normalize(group), "driver"}
		at, err := f.find(n)
		if err != nil {
			return err
		}
		if at != nil {
			return at.fail(n, "[DEFAULT] config_source asks for settings from elsewhere than files, and that is not supported")
		}
	}
	return nil
}

// Paths are the files that were read, in order.
func (f *Files) Paths() []string { return f.paths }

// Text is an option's effective text after interpolation; ok is false where it is set nowhere and, in [kmip], has no
// default. The error, of type *Error, names the place where the option is set.
func (f *Files) Text(group, option string) (text string, ok bool, err error) {
	n := name{normalize(group), option}
	v, at, err := f.effective(n)
	if err != nil {
		return "", true, err
	}
	return v.text, at != nil, nil
}

// effective is Text with what else is known about it; its setting is nil where the option is unset.
func (f *Files) effective(n name) (value, *setting, error) {
	r := f.resolve(n, 0)
	var elsewhere *Error
	switch {
	case errors.As(r.err, &elsewhere):
		return value{}, r.at, elsewhere
	case r.at == nil:
		return value{}, nil, nil
	case r.err != nil:
		return value{}, r.at, r.at.fail(n, r.err.Error())
	}
	return r.value, r.at, nil
}

// find looks an option up as cfg.py's _do_get: the environment, the files from the last to the first, the default. It
// gives nil for what is unset.
func (f *Files) find(n name) (*setting, error) {
	if at, err := f.inEnvironment(n); at != nil {
		return at, err
	}
	for i := len(f.files) - 1; i >= 0; i-- {
		if at, err := f.inFile(i, n); at != nil || err != nil {
			return at, err
		}
	}
	if o := lookupOption(n); o != nil && o.fallback != "" {
		return &setting{text: o.fallback}, nil
	}
	return nil, nil
}

func (f *Files) inEnvironment(n name) (*setting, error) {
	if len(f.variables) == 0 {
		return nil, nil
	}
	at := &setting{variable: "OS_" + strings.ToUpper(n.group) + "__" + strings.ToUpper(n.option)}
	text, ok := f.variables.lookup(at.variable)
	if !ok {
		return nil, nil
	}
	at.text = text
	if !utf8.ValidString(text) {
		return at, at.fail(n, "not UTF-8")
	}
	return at, nil
}

func (f *Files) inFile(i int, n name) (*setting, error) {
	s := f.files[i][n.group]
	if s == nil {
		return nil, nil
	}
	text, line, ok, err := s.lookup(n.option)
	if err != nil {
		return nil, &Error{File: f.paths[i], Reason: err.Error()}
	}
	if !ok {
		return nil, nil
	}
	return &setting{text: text, file: f.paths[i], line: line}, nil
}

// Fault is an error about an option, which names the place where that is set, or all files where it is not.
func (f *Files) Fault(group, option, reason string) *Error {
	n := name{normalize(group), option}
	if at, err := f.find(n); at != nil && err == nil {
		return at.fail(n, reason)
	}
	read := strings.Join(f.paths, ", ")
	if read == "" {
		read = "no configuration file found"
	}
	return &Error{File: read, Group: n.group, Option: option, Reason: reason}
}

func (s *setting) fail(n name, reason string) *Error {
	return &Error{File: s.file, Line: s.line, Variable: s.variable, Group: n.group, Option: n.option, Reason: reason}
}
