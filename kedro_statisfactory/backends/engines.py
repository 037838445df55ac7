"""Where engines that read and write by themselves find a location, and how they come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kedro_statisfactory.hidden import Hidden, HiddenDict

#: What an engine is about to do: to write in place of what is there, which is removed, or to add to it.
Saving = Literal["replace", "add"]


@dataclass(frozen=True)
class S3Access:
    """A location in S3's protocol, and what it takes to read and write there.

    It is plain values, so that it travels to the workers of an engine; no text of it shows a secret.

    Attributes:
        bucket: Bucket; lakeFS's gateway calls a repository so.
        key: Of the object, or of the folder whose objects are below it.
        url: Of the entry, for errors.
        endpoint_url: Of the service; ``None``: AWS.
        region: Of the bucket; a service that is not AWS takes any.
        access_key_id: Who asks; ``None``: requests are not signed.
        secret_access_key: Of the same.
        session_token: Of the same, where the keys are lent for a time.
        path_style: Whether the bucket is the first segment of the path, and no part of the host's name.
        verify: Whether the server's certificate is checked; a text: the file of those to trust.
        proxy: URL of an HTTP proxy; ``None``: what the environment says.
        config: What else the user has said of requests, as arguments of botocore's ``Config``; engines that do without
            botocore are told of some of that.
        may_change: Whether an engine may know the place from before, and not notice what others have put there since.
        renew: Gives the same with keys that are lent anew if need be; ``None``: they stay valid, or another process has
            sent it.
    """

    bucket: str
    key: str
    url: str
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: Hidden[str] | None = None
    secret_access_key: Hidden[str] | None = None
    session_token: Hidden[str] | None = None
    path_style: bool = False
    verify: bool | str = True
    proxy: Hidden[str] | None = field(default=None)
    config: Mapping[str, Any] = field(default_factory=HiddenDict, repr=False)
    may_change: bool = field(default=False, compare=False)
    renew: Callable[[], S3Access] | None = field(default=None, repr=False, compare=False)

    def now(self) -> S3Access:
        """The same, with other keys where these were lent for a time that is about to end."""
        return self.renew() if self.renew else self

    def __getstate__(self) -> dict[str, Any]:
        # Only this process can have keys lent: others get those of the moment in which they are sent.
        return {**vars(self.now()), "renew": None}

    def __deepcopy__(self, _: object) -> S3Access:
        return self

    def credentials(self) -> Mapping[str, Any]:
        """The same as the credentials of an entry in S3, in boto3's names."""
        config: dict[str, Any] = HiddenDict(self.config)
        if self.endpoint_url is None:  # what another machine's environment says is not meant
            config["ignore_configured_endpoint_urls"] = True
        else:  # it is chosen, and botocore would not let it be chosen once more
            config |= {"use_fips_endpoint": False, "use_dualstack_endpoint": False}
        if self.path_style:
            config["s3"] = {**config.get("s3", {}), "addressing_style": "path"}
        if self.proxy is not None:
            config["proxies"] = HiddenDict(dict.fromkeys(("http", "https"), self.proxy.reveal()))
        keys = {
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "aws_session_token": self.session_token,
        }
        return HiddenDict(
            {
                **{name: value.reveal() for name, value in keys.items() if value is not None},
                **({"endpoint_url": self.endpoint_url} if self.endpoint_url else {}),
                "config_kwargs": config,
                **({} if self.verify is True else {"verify": self.verify}),
                "region_name": self.region,
                "anon": self.access_key_id is None,
            }
        )
