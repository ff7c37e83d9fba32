package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdline/console/access"
)

//go:embed pages
var pageFiles embed.FS

// Shell is what every page has around its content.
type Shell struct {
	Node, Version string
	Now           time.Time
	User          string // who is signed in; "" where nobody has to be
	Nav           []navLink
}

type navLink struct {
	Name, Path string
	Here       bool
}

// shell is the shell of the page at a request's path.
func (c *Console) shell(r *http.Request) Shell {
	s := Shell{Node: c.o.Node, Version: c.o.Version, Now: time.Now()}
	if u, ok := userOf(r); ok {
		s.User = u.Name
	}
	for _, l := range []navLink{
		{Name: "Live", Path: "/"},
		{Name: "Search", Path: "/search"},
		{Name: "Reports", Path: "/reports"},
		{Name: "Agents", Path: "/agents"},
		{Name: "TV", Path: "/tv"},
	} {
		l.Here = r.URL.Path == l.Path || l.Path != "/" && strings.HasPrefix(r.URL.Path, l.Path+"/")
		if mayOpen(r, l.Path) {
			s.Nav = append(s.Nav, l)
		}
	}
	if u, ok := userOf(r); ok && u.Can(access.Users) {
		s.Nav = append(s.Nav, navLink{Name: "Users", Path: "/users", Here: r.URL.Path == "/users"})
	}
	return s
}

// pageFuncs are what templates may call.
func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"clock":   func(t time.Time) string { return t.Local().Format("15:04:05") },
		"day":     func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
		"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"since":   func(t time.Time) string { return clockFace(time.Since(t)) },
		"face":    clockFace,
		"intake":  intakeWords,
		"party":   partyOf,
		"desk":    deskName,
		"state":   stateWords,
		"chips":   intakeChips,
		"meters":  metersOf,
		"leftBy":  leftBy,
		"seg":     url.PathEscape, // one segment of a path
		"seconds": func(ms int64) string { return fmt.Sprintf("%.1f s", float64(ms)/1000) },
	}
}

// draw answers with a page: pages/NAME.html within the layout. data must be a
// struct with a field Shell.
func (c *Console) draw(w http.ResponseWriter, name string, data any) {
	t, err := template.New(name).Funcs(pageFuncs()).ParseFS(pageFiles, "pages/layout.html", "pages/"+name+".html")
	var b bytes.Buffer
	if err == nil {
		err = t.ExecuteTemplate(&b, "layout", data)
	}
	if err != nil {
		c.log.Error("page cannot be drawn", zap.String("page", name), zap.Error(err))
		fail(w, http.StatusInternalServerError, fmt.Sprintf("the page %s cannot be drawn", name), "the log has the details")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}
