import uuid

from django.db import models


class Row(models.Model):
    """UUID primary keys: they appear in URLs, and bind a secret's ciphertext to its row before it is saved."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True
