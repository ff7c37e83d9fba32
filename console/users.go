package console

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"holdline/console/access"
)

// getUsers shows who may sign in.
func (c *Console) getUsers(w http.ResponseWriter, r *http.Request) {
	if c.gated(w) {
		c.showUsers(w, r, http.StatusOK, formView{})
	}
}

func (c *Console) showUsers(w http.ResponseWriter, r *http.Request, status int, v formView) {
	var err error
	v.Action = "users"
	v.Shell = c.shell(r)
	if v.Users, v.Tokens, err = c.o.Gate.List(); err != nil {
		v.Error = err.Error()
	}
	c.showForm(w, status, v)
}

// change is one change of who may sign in.
type change struct {
	do, name, password string
	role               access.Role
}

// postUsers makes one change and shows what is the case after it.
func (c *Console) postUsers(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) || !readForm(w, r) {
		return
	}
	f := r.PostForm
	q := change{f.Get("do"), strings.TrimSpace(f.Get("name")), f.Get("password"), access.Role(f.Get("role"))}
	by, _ := author(r, nil)
	said, token, err := c.changeUsers(r.Context(), q, by)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, access.ErrNoUser) {
			status = http.StatusNotFound
		}
		c.showUsers(w, r, status, formView{Error: err.Error()})
		return
	}
	c.note(kindChanged, userData{User: q.name, Role: q.role, Change: said, By: by, From: addressOf(r)})
	c.showUsers(w, r, http.StatusOK, formView{Said: q.name + ": " + said, Token: token})
}

// changeUsers returns what was done, in words.
func (c *Console) changeUsers(ctx context.Context, q change, by string) (said, token string, err error) {
	g := c.o.Gate
	switch q.do {
	case "add":
		return "added", "", g.Add(ctx, q.name, q.role, q.password, by)
	case "remove":
		return "removed", "", g.Remove(q.name)
	case "password":
		return "password changed", "", g.SetPassword(ctx, q.name, q.password)
	case "role":
		return "role changed", "", g.SetRole(q.name, q.role)
	case "token":
		token, err = g.AddToken(q.name, q.role, by)
		return "token made", token, err
	}
	return "", "", errors.New("the form does not say what to do")
}
